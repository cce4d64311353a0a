"""`mitmdump -s addons/liveview.py`: the LiveView inspector alone, in any mode of mitmproxy."""

from livegate.addons import inspector_addons

addons = inspector_addons()
