"""RunningHub's standard models: any path of two or more parts, its result chosen by what the path names."""

from functools import lru_cache

from simulator.apps import App

_RESERVED = {"aiapp", "api-key", "media", "price-preview", "query", "queue", "resource", "run"}
"""First parts of v2 paths that are calls of another kind."""
_EXTENSIONS = {"video": "mp4", "audio": "wav", "music": "wav", "speech": "wav", "text": "txt", "chat": "txt"}


@lru_cache(maxsize=256)
def model_of(path: str) -> App | None:
    """The model at a path such as `vendor/model/text-to-image`, or None where no model can be."""
    parts = path.strip("/").split("/")
    if len(parts) < 2 or not all(parts) or parts[0] in _RESERVED:
        return None
    return App(
        id=path,
        name=path,
        description="",
        description_en="",
        tag=("", "", ""),
        nodes=(),
        outputs=(("", _extension(parts[-1])),),
        kind="model",
    )


def _extension(task_name: str) -> str:
    """The type of what a model makes: of `image-to-video` a video, of `text-to-image` an image."""
    made = task_name.lower().rpartition("to-")[2]
    return next((_EXTENSIONS[word] for word in made.split("-") if word in _EXTENSIONS), "png")
