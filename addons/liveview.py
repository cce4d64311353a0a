"""`mitmdump -s addons/liveview.py`: the LiveView inspector alone, in any mode of mitmproxy."""

from livegate.inspect.alone import inspectors

addons = inspectors()
