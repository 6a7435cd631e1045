"""What is opened, and what of it may be said."""

import pytest

from umiak_workers.adapters.camera import Login, pictures, stream
from umiak_workers.contract.errors import Unavailable


def test_an_address_that_is_none_is_named_without_the_password() -> None:
    with pytest.raises(Unavailable, match="no address") as caught:
        stream("rtsp://[x/y", "tcp", Login("gate", "secret"))
    assert "secret" not in str(caught.value)
    with pytest.raises(Unavailable, match="rtsp"):
        next(pictures(stream("rtsp://[x/y", "tcp", None), lambda: None))
