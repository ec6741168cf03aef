#include "common/task_proto.h"
