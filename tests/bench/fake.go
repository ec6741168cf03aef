package main

// The node that only seems to be there, for the pods of the fake pools: nothing else is scheduled
// there. KWOK makes nodes with this annotation ready.
const (
	fakeNodeName  = "bench-fake"
	fakeNodeKey   = "bench.arl.infra.io/node"
	fakeNodeValue = "fake"
)

func fakeNode() map[string]any {
	room := map[string]any{"cpu": "100k", "memory": "100Ti", "ephemeral-storage": "100Ti", "pods": "100k"}
	md := meta(fakeNodeName)
	md["annotations"] = map[string]any{"kwok.x-k8s.io/node": "fake"}
	md["labels"] = map[string]any{fakeNodeKey: fakeNodeValue, "kubernetes.io/os": "linux"}
	return map[string]any{
		"apiVersion": "v1", "kind": "Node", "metadata": md,
		"spec":   map[string]any{"taints": []any{map[string]any{"key": fakeNodeKey, "effect": "NoSchedule"}}},
		"status": map[string]any{"capacity": room, "allocatable": room},
	}
}
