"""What the clients of the three kinds share: create, get, list, patch and delete over the official client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from kubernetes import client
from pydantic import BaseModel

GROUP = "arl.infra.io"
VERSION = "v1alpha1"

Model = TypeVar("Model", bound=BaseModel)


class Resource(Generic[Model]):
    """The objects of one kind in one namespace.

    Args:
        namespace: The namespace of all calls.
        api_client: A configured ``kubernetes.client.ApiClient``; by default one that uses the configuration which
            ``kubernetes.config`` has loaded.
    """

    kind: ClassVar[str]
    plural: ClassVar[str]
    model: type[Model]

    def __init__(self, namespace: str = "default", api_client: client.ApiClient | None = None) -> None:
        self.namespace = namespace
        self._api = client.CustomObjectsApi(api_client)

    def _where(self) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self.namespace, self.plural

    def create(self, body: Model | Mapping[str, Any]) -> Model:
        """Creates an object and returns it as the API server keeps it.

        Raises:
            kubernetes.client.ApiException: The API server refuses it; its body names the field.
        """
        return self.model.model_validate(self._api.create_namespaced_custom_object(*self._where(), body=_plain(body)))

    def get(self, name: str) -> Model:
        """Reads an object; ``kubernetes.client.ApiException`` with status 404 if there is none."""
        return self.model.model_validate(self._api.get_namespaced_custom_object(*self._where(), name))

    def list(self, label_selector: str | None = None) -> list[Model]:
        """Lists the objects of the namespace, or those that the selector names."""
        options = {} if label_selector is None else {"label_selector": label_selector}
        answer = self._api.list_namespaced_custom_object(*self._where(), **options)
        return [self.model.model_validate(item) for item in answer["items"]]

    def patch(self, name: str, body: Mapping[str, Any]) -> Model:
        """Applies a merge patch."""
        return self.model.model_validate(self._api.patch_namespaced_custom_object(*self._where(), name, dict(body)))

    def delete(self, name: str) -> None:
        """Deletes an object; ``kubernetes.client.ApiException`` with status 404 if there is none."""
        self._api.delete_namespaced_custom_object(*self._where(), name)


def _plain(body: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(body, BaseModel):
        return body.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dict(body)
