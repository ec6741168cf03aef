package main

// The fake node is only an object. The pods of the fake pools are scheduled there, and no others. KWOK makes
// nodes with this annotation Ready.
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
