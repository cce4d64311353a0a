"""What `mitmdump -s addons/gateway.py` loads: the addon classes of livegate in pipeline order."""

from livegate.addons import gateway_addons

addons = gateway_addons()
