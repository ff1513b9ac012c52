"""The settings of a device: each has a type, bounds, a default, and an explanation that a person reads."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PublicKey = Annotated[str, Meta(pattern=r"^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}( [^\n,]*)?\Z")]
"""An Ed25519 public key as OpenSSH writes it; what follows the key is whose it is."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a device is set to; each value's meaning is the description of its type.

    Empty text and absent values leave the choice to wbc-edge.
    """

    camera: Annotated[
        str,
        Meta(
            description="Camera: sim[:KIND], picamera2:0 or v4l2:/dev/video0.\n"
            "Empty: the one that is attached. none: the service has only its watch_folder."
        ),
    ] = ""
    um_per_px: (
        Annotated[
            float,
            Meta(
                ge=0.01,
                le=2.0,
                examples=[0.1],
                description="Size of a pixel in micrometres:\npixel pitch of the sensor over total magnification.",
            ),
        ]
        | None
    ) = None
    size: Annotated[
        str, Meta(pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$", description="Width and height of the frames, pixels.")
    ] = "2560x1920"
    timeout: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds that a camera may take to open, and for each frame.")
    ] = 10.0
    calibration: Annotated[
        str, Meta(description="File of `wbc-edge calibrate`. Empty: calibration.json in the user's state folder.")
    ] = ""
    interval: Annotated[
        float,
        Meta(
            ge=0,
            le=86400,
            description="Seconds from one frame to the next.\nFor the service 0 means: only when one is asked for.",
        ),
    ] = 0.0
    watch_folder: Annotated[
        str,
        Meta(
            description="Folder into which other programs drop images, each judged by the service; needs um_per_px.\n"
            "On a device that install.sh set up: /var/lib/wbc-edge/drop. Empty: none."
        ),
    ] = ""
    button_gpio: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=27,
                examples=[17],
                description="GPIO (BCM number) of a button or foot switch to ground that asks the service\n"
                "for a frame; needs gpiozero. Left out: there is none.",
            ),
        ]
        | None
    ) = None
    button_active: Annotated[
        Literal["low", "high"],
        Meta(description="Level of the button's GPIO while it is pressed; low: it connects to ground."),
    ] = "low"
    button_bounce: Annotated[
        float, Meta(ge=0, le=5, description="Seconds after a press within which the button's contacts may bounce.")
    ] = 0.05
    button_hold: Annotated[
        float,
        Meta(
            ge=0,
            le=60,
            description="Seconds after which a button that is held finishes the sample instead. 0: it never does.",
        ),
    ] = 0.0
    model: Annotated[
        str,
        Meta(
            description="Name or file of the model. Empty: the one that `wbc-edge model activate` put in\n"
            "force, or else the one that ships."
        ),
    ] = ""
    trusted_keys: Annotated[
        tuple[PublicKey, ...],
        Meta(
            description="Public keys, 'ssh-ed25519 AAAA... NAME', that models must be signed by.\n"
            "None: models are used unsigned. Outside of the file they are separated by commas."
        ),
    ] = ()
    runtime: Annotated[
        Literal["", "litert", "tflite-runtime"],
        Meta(description="Inference runtime: litert or tflite-runtime. Empty: the first that is installed."),
    ] = ""
    threads: Annotated[
        int, Meta(ge=1, le=64, description="Threads of runtime and OpenCV; one is fastest for small networks.")
    ] = 1
    batch: Annotated[
        int,
        Meta(ge=1, le=64, description="Tiles that the processor judges at once; `wbc-edge model tune` measures."),
    ] = 4
    accelerator: Annotated[
        Literal["auto", "cpu", "gpu"],
        Meta(
            description="What the model runs on: auto (the faster one that answers correctly), cpu,\n"
            "or gpu (wherever that answers correctly, be it slower)."
        ),
    ] = "auto"
    journal: Annotated[str, Meta(description="The journal's file. Empty: in the user's state folder.")] = ""
    save: Annotated[
        Literal["none", "frames", "overlays"],
        Meta(
            description="Pictures to keep beside the journal: none, frames (PNG, as they were captured, 4 to 7 MB\n"
            "each at 2560x1920), or overlays (JPEG, a tenth of that)."
        ),
    ] = "none"
    keep_picture_days: Annotated[
        float,
        Meta(
            ge=0,
            le=36500,
            description="Days after which the service throws pictures away. 0: never.\n"
            "A pause of more than a week counts as a week, since clocks jump.",
        ),
    ] = 0.0
    keep_picture_mb: Annotated[
        float,
        Meta(
            ge=0,
            le=1e8,
            description="Megabytes that pictures may take; over it the oldest go, every ten minutes. 0: no limit.",
        ),
    ] = 0.0
    prune_first: Annotated[
        Literal["unreviewed", "reviewed"],
        Meta(description="Pictures that go first: those of frames that nobody reviewed, or the others."),
    ] = "unreviewed"
    keep_frame_days: Annotated[
        float,
        Meta(
            ge=0,
            le=36500,
            description="Days after which the service throws frames away, pictures and all, counted in the same way.\n"
            "0: never.",
        ),
    ] = 0.0
    keep_free_mb: Annotated[
        float,
        Meta(
            ge=0,
            le=1e8,
            description="Megabytes that must stay free on the journal's disk: pictures go for it,\n"
            "and when that is not enough no more are kept.",
        ),
    ] = 500.0
    least_free_mb: Annotated[
        float,
        Meta(
            ge=0,
            le=1e8,
            description="Megabytes free on the journal's disk under which no frame is captured any more;\n"
            "what the service does is still logged.",
        ),
    ] = 50.0
    check_days: Annotated[
        float,
        Meta(
            ge=0, le=3650, description="Days after which the service reads the whole journal and checks it. 0: never."
        ),
    ] = 7.0


NAMES = Config.__struct_fields__
"""Names of the settings, in the order of the file."""
