"""`python -m umiak_workers.router --config F --state DIR`: photos in, one final answer per frame out."""

import asyncio

from umiak_workers.adapters import process, serving
from umiak_workers.adapters.configfile import load
from umiak_workers.contract.config import RouterConfig
from umiak_workers.router.app import Router, build
from umiak_workers.router.wiring import assembled


async def main(given: process.Arguments, stop: asyncio.Event) -> None:
    """Listen last: whoever reaches the router finds it complete."""
    state = given.state_folder()
    loaded = load(RouterConfig, given.config, state, "router")
    listener = serving.bind(loaded.endpoints, "router")
    async with assembled(loaded, state) as assembly:
        background = [work() for work in assembly.background]
        ending = _wind_down(assembly.router, stop)
        await serving.until_stopped(stop, serving.serve(build(assembly.router), listener, stop), ending, *background)


async def _wind_down(router: Router, stop: asyncio.Event) -> None:
    await stop.wait()
    router.pipeline.wind_down()


if __name__ == "__main__":
    process.run("router", main)
