"""A kernel's client that is ready as soon as its kernel is.

Jupyter's own listens for a fifth of a second more, until nothing is said any longer. This one knows
which message is the last: the one that says that its question has been dealt with.
"""

from __future__ import annotations

import time
from queue import Empty

from jupyter_client.asynchronous.client import AsyncKernelClient


class PromptClient(AsyncKernelClient):
    """Jupyter's client, without the wait for silence, on the two channels by which cells run.

    On the others a kernel asks what nobody is there to answer, and is told what signals tell it.
    What nobody reads would pile up here, and a heartbeat that has stopped is connected anew, to
    whatever a student has put in the place of the kernel's socket.
    """

    def start_channels(
        self,
        shell: bool = True,
        iopub: bool = True,
        stdin: bool = True,
        hb: bool = True,
        control: bool = True,
    ) -> None:
        """Connect to the channel for requests and the one for what cells put out."""
        super().start_channels(shell, iopub, False, False, False)

    def stop_channels(self) -> None:
        """Disconnect. To ask a channel whether it is there would make and connect it."""
        for channel in (self._shell_channel, self._iopub_channel):
            if channel is not None:
                channel.stop()

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Wait until the kernel answers, and what it publishes arrives here.

        Raises
        ------
        RuntimeError
            If the kernel dies, or `timeout` seconds have passed.
        """
        end = time.monotonic() + (float("inf") if timeout is None else timeout)
        while not await self._answered(str(self.kernel_info())):
            if not await self.is_alive():
                raise RuntimeError("Kernel died before replying to kernel_info")
            if time.monotonic() > end:
                raise RuntimeError(f"Kernel didn't respond in {timeout} seconds")

    async def _answered(self, request: str) -> bool:
        """Whether a request was answered, and its end published; if not, ask again."""
        try:
            reply = await self.get_shell_msg(timeout=1)
            while reply["parent_header"].get("msg_id") != request:
                reply = await self.get_shell_msg(timeout=1)
            self._handle_kernel_info_reply(reply)
            while True:
                told = await self.get_iopub_msg(timeout=0.2)
                ours = told["parent_header"].get("msg_id") == request
                if ours and told["content"].get("execution_state") == "idle":
                    return True
        except Empty:
            return False
