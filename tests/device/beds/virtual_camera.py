"""In the guest: fits its picamera2 to libcamera's virtual camera, which is less than a Raspberry Pi's.

It gives NV12 and nothing else, has no raw modes, and its memory is no DMA heap's. Of its frames libcamera 0.4.0 may not
say that they are good, whereupon picamera2 drops them and a capture waits for ever: here they are good, and all are
dropped while the file :data:`SILENT` is there. Everything else is picamera2's own: requests, jobs, event loop, stop and
close.
"""

import mmap
import shutil
from pathlib import Path

SILENT = Path("/var/lib/wbc-edge/silent-camera")

IS_GOOD = "next(iter(req.request.buffers.values())).metadata.status == libcamera.FrameMetadata.Status.Success"


def prepare(root: Path) -> None:
    """Have the guest whose disk is mounted use this module; on the host.

    Parameters
    ----------
    root : Path
        Where its disk is mounted.
    """
    cameras = root / "usr/share/libcamera/pipeline/virtual/virtual.yaml"
    cameras.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_suffix(".yaml"), cameras)
    (package,) = root.glob("usr/local/lib/python3*/dist-packages/picamera2")
    module = package / "picamera2.py"
    text = module.read_text()
    assert text.count(IS_GOOD) == 1, "another picamera2 than the one this was written for"
    module.write_text(
        text.replace(IS_GOOD, "virtual_camera.is_talking()").replace(
            "import libcamera\n", "import libcamera\nimport sys\nsys.path.append('/opt')\nimport virtual_camera\n", 1
        )
    )
    with (package / "__init__.py").open("a") as file:
        file.write("import virtual_camera\nvirtual_camera.fit()\n")
    # Only its preview on a screen needs the real one.
    (package.parent / "pykms.py").write_text(
        "class _Formats:\n    def __getattr__(self, name):\n        return name\n\n\nPixelFormat = _Formats()\n"
    )


def is_talking() -> bool:
    """Say whether frames are good."""
    return not SILENT.exists()


class Mapped:
    """A frame's memory, for the time that it is read."""

    def __init__(self, allocator, frame_buffer, write):
        self._planes = frame_buffer.planes

    def __enter__(self):
        length = max(plane.offset + plane.length for plane in self._planes)
        self._memory = mmap.mmap(self._planes[0].fd, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        return self._memory

    def __exit__(self, *_):
        pass  # arrays still look at it


def fit() -> None:
    """Fit the package, which is imported but for its end."""
    import libcamera
    from picamera2 import Picamera2, picamera2
    from picamera2.allocators import LibcameraAllocator
    from picamera2.request import CompletedRequest

    begin, configure_still, read_back = (
        Picamera2.__init__,
        Picamera2.create_still_configuration,
        Picamera2.camera_configuration,
    )

    def raw_modes(self):
        still = self.camera.generate_configuration([libcamera.StreamRole.StillCapture]).at(0)
        return [{"format": str(still.pixel_format), "size": (still.size.width, still.size.height)}]

    def opened(self, camera_num=0):
        begin(self, camera_num, allocator=Picamera2)
        self.allocator = LibcameraAllocator(self.camera)
        self.allocator.sync = Mapped

    def create_still_configuration(self, main=(), **more):
        return configure_still(self, main={**dict(main), "format": "NV12"}, **{**more, "raw": None})

    def camera_configuration(self):
        found = read_back(self)
        assert found["main"]["format"] == "NV12"
        return {**found, "main": {**found["main"], "format": "RGB888"}}

    def array(self, name):
        import cv2

        width, height = self.config[name]["size"]
        planes = self.make_buffer(name).reshape(-1, self.config[name]["stride"])[:, :width]
        colour = planes[height : height * 3 // 2].reshape(height // 2, width // 2, 2)
        blue, red = cv2.split(cv2.resize(colour, (width, height)))
        # Of full range, as in the JPEG that it is from; OpenCV's own conversion of NV12 takes it for a television's.
        return cv2.cvtColor(cv2.merge([planes[:height], red, blue]), cv2.COLOR_YCrCb2BGR)

    picamera2.DmaAllocator = object  # for when it is closed
    Picamera2._get_raw_modes, Picamera2.__init__ = raw_modes, opened
    Picamera2.create_still_configuration = create_still_configuration
    Picamera2.camera_configuration = camera_configuration
    CompletedRequest.make_array = array
