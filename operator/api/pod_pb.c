#include "operator/api/pod_pb.h"

static const struct pb_field owner_reference[] = {
    {1, PB_TEXT, "kind"},
    {3, PB_TEXT, "name"},
    {4, PB_TEXT, "uid"},
    {6, PB_BOOL, "controller"},
    {0},
};

static const struct pb_field object_meta[] = {
    {1, PB_TEXT, "name"},
    {3, PB_TEXT, "namespace"},
    {5, PB_TEXT, "uid"},
    {6, PB_TEXT, "resourceVersion"},
    {7, PB_INT_OR_NONE, "generation"},
    {8, PB_TIME, "creationTimestamp"},
    {9, PB_TIME, "deletionTimestamp"},
    {11, PB_MAP, "labels"},
    {12, PB_MAP, "annotations"},
    {13, PB_REPEATED, "ownerReferences", owner_reference},
    {0},
};

static const struct pb_field container[] = {
    {1, PB_TEXT, "name"},
    {24, PB_TEXT, "restartPolicy"},
    {0},
};

static const struct pb_field pod_spec[] = {
    {2, PB_REPEATED, "containers", container},
    {3, PB_TEXT, "restartPolicy"},
    {20, PB_REPEATED, "initContainers", container},
    {0},
};

static const struct pb_field waiting[] = {
    {1, PB_TEXT, "reason"},
    {2, PB_TEXT, "message"},
    {0},
};

static const struct pb_field running[] = {{0}}; /* only whether it is there is read */

static const struct pb_field terminated[] = {
    {1, PB_INT, "exitCode"},
    {3, PB_TEXT, "reason"},
    {4, PB_TEXT, "message"},
    {0},
};

static const struct pb_field container_state[] = {
    {1, PB_MESSAGE, "waiting", waiting},
    {2, PB_MESSAGE, "running", running},
    {3, PB_MESSAGE, "terminated", terminated},
    {0},
};

static const struct pb_field container_status[] = {
    {1, PB_TEXT, "name"},
    {2, PB_MESSAGE, "state", container_state},
    {3, PB_MESSAGE, "lastState", container_state},
    {4, PB_BOOL, "ready"},
    {5, PB_INT, "restartCount"},
    {0},
};

static const struct pb_field pod_condition[] = {
    {1, PB_TEXT, "type"},   {2, PB_TEXT, "status"},  {4, PB_TIME, "lastTransitionTime"},
    {5, PB_TEXT, "reason"}, {6, PB_TEXT, "message"}, {0},
};

static const struct pb_field pod_ip[] = {
    {1, PB_TEXT, "ip"},
    {0},
};

static const struct pb_field pod_status[] = {
    {1, PB_TEXT, "phase"},
    {2, PB_REPEATED, "conditions", pod_condition},
    {3, PB_TEXT, "message"},
    {4, PB_TEXT, "reason"},
    {6, PB_TEXT, "podIP"},
    {7, PB_TIME, "startTime"},
    {8, PB_REPEATED, "containerStatuses", container_status},
    {10, PB_REPEATED, "initContainerStatuses", container_status},
    {12, PB_REPEATED, "podIPs", pod_ip},
    {0},
};

const struct pb_field pod_pb[] = {
    {1, PB_MESSAGE, "metadata", object_meta},
    {2, PB_MESSAGE, "spec", pod_spec},
    {3, PB_MESSAGE, "status", pod_status},
    {0},
};
