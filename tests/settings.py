"""Settings of arguments alone."""

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from config import Settings


class GivenSettings(Settings):
    """Without those of the environment and of `.env`: looking for them takes longer than many a test."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)
