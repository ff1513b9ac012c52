"""Inside the guest: runs the commands that come through a virtio port, one JSON object a line each way."""

import json
import subprocess
import time

PORT = "/dev/virtio-ports/wbc.agent"

with open(PORT, "r+b", buffering=0) as port:  # noqa: PTH123 -- also run outside the project
    port.write(json.dumps({"hello": time.clock_gettime(time.CLOCK_BOOTTIME)}).encode() + b"\n")
    line = b""
    while True:
        read = port.read(65536)
        if not read:  # nobody is connected on the other side
            time.sleep(0.05)
            continue
        line += read
        while b"\n" in line:
            request, line = line.split(b"\n", 1)
            done = subprocess.run(
                ["bash", "-c", json.loads(request)["run"]], capture_output=True, text=True, check=False
            )
            answer = {"code": done.returncode, "out": done.stdout, "err": done.stderr}
            reply = json.dumps(answer).encode() + b"\n"
            while reply:
                reply = reply[port.write(reply) :]
