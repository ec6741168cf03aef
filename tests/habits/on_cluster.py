"""Steps as Tasks of one sandbox on the cluster, with the interface of the suite's own pod: run(steps)."""
import http.client
import json

from harness import Failed, condition, equal, path_of

TASK_LIMIT_S = 120


class Ended:
    """The end of a Task, as its status tells it."""

    def __init__(self, status):
        finished = condition({"status": status}, "Finished")
        self.code, self.message = status["exitCode"], finished["message"]
        self.out, self.err = (status.get(name, "").encode() for name in ("stdout", "stderr"))
        good = self.code == 0
        equal((status["state"], finished["status"], finished["reason"]),
              ("Succeeded" if good else "Failed", "True", "Completed" if good else "StepFailed"), f"state and condition with exit code {self.code}")


class Tasks:
    def __init__(self, t, box):
        self.t, self.box = t, box

    def run(self, steps):
        name = self.t.task(self.box, *[{k: v for k, v in s.items() if (k, v) != ("name", "")} for s in steps])
        return Ended(self.end(name))

    def end(self, name):
        """Waits for the task's end by a watch. Returns its status."""
        connection = self.t.api.connect(TASK_LIMIT_S)
        try:
            connection.request("GET", f"{path_of(self.t.ns, 'Task')}?watch=1&fieldSelector=metadata.name%3D{name}&timeoutSeconds={TASK_LIMIT_S}")
            status = {}
            for line in connection.getresponse():
                status = json.loads(line)["object"].get("status", {})
                if status.get("state") in ("Succeeded", "Failed"):
                    return status
            raise Failed(f"Task {name} has not ended within {TASK_LIMIT_S} s: {status}")
        except (http.client.HTTPException, OSError) as e:
            raise Failed(f"watching Task {name}: {e}") from e
        finally:
            connection.close()
