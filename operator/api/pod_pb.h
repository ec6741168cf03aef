/*
 * Where the members that pod_decode() reads stand in protobuf. The numbers are those of Kubernetes'
 * own generated.proto: k8s.io/api/core/v1 for pods, and k8s.io/apimachinery/pkg/apis/meta/v1 for
 * ObjectMeta and OwnerReference. They never change: etcd keeps objects in the same encoding.
 *
 * A member that pod_decode() begins to read needs a row here; tests/unit/test_pod_pb.c decodes the
 * same pods both ways.
 */
#ifndef ARL_OPERATOR_API_POD_PB_H
#define ARL_OPERATOR_API_POD_PB_H

#include "common/base/pb.h"

extern const struct pb_field pod_pb[];

#endif
