"""Prints the hosts of a service by botocore's rules: {"region fips dual": url}. usage: endpoints.py SERVICE"""

import json
import sys

import botocore.session
from botocore.endpoint_provider import EndpointProvider

loader = botocore.session.get_session().get_component("data_loader")
partitions = loader.load_data("partitions")
provider = EndpointProvider(loader.load_service_model(sys.argv[1], "endpoint-rule-set-1"), partitions)
answers = {}
for partition in partitions["partitions"]:
    for region in [name for name in partition["regions"] if not name.endswith("-global")][:3]:
        for fips in (False, True):
            for dual in (False, True):
                endpoint = provider.resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=dual)
                answers[f"{region} {fips} {dual}".lower()] = endpoint.url
print(json.dumps(answers))
