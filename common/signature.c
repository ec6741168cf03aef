#include "common/signature.h"
