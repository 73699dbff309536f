"""What a stage reads from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelwright_training import contract
from modelwright_training.contract import JobConfig


@dataclass(frozen=True, slots=True)
class Settings:
    """The job, and the places the pod gives to it."""

    job: JobConfig
    workspace: Path
    artifact: Path
    measures: Path
    stores: Path
    index: int | None = None
    handover: Path = Path(contract.DEFAULT_HANDOVER_DIR)
    signing: Path = Path(contract.DEFAULT_SIGNING_DIR)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the variables of the contract.

        Raises:
            ValueError: the job's JSON is missing or wrong; the text names the variable.

        """
        try:
            job = JobConfig.from_json(environment[contract.ENV_JOB])
        except KeyError:
            message = f"{contract.ENV_JOB} is not set; it holds the job as JSON"
            raise ValueError(message) from None
        except ValueError as error:
            message = f"{contract.ENV_JOB}: {error}"
            raise ValueError(message) from error
        index = environment.get(contract.ENV_INDEX, "")
        return cls(
            index=int(index) if index else None,
            job=job,
            workspace=Path(environment.get(contract.ENV_WORKSPACE, contract.DEFAULT_WORKSPACE)),
            artifact=Path(environment.get(contract.ENV_ARTIFACT_DIR, contract.DEFAULT_ARTIFACT_DIR)),
            measures=Path(environment.get(contract.ENV_MEASURES_DIR, contract.DEFAULT_MEASURES_DIR)),
            stores=Path(environment.get(contract.ENV_STORES_DIR, contract.DEFAULT_STORES_DIR)),
            handover=Path(environment.get(contract.ENV_HANDOVER_DIR, contract.DEFAULT_HANDOVER_DIR)),
            signing=Path(environment.get(contract.ENV_SIGNING_DIR, contract.DEFAULT_SIGNING_DIR)),
        )
