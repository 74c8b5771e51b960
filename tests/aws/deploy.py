"""Deploys the real template, with the real `bootstrap`, to an emulator.

Synthesizes infra/ like a deployment, with settings that are open to users, uploads the assets, creates the
stack and prints the names of its resources as JSON. Only what the emulator does not know is left out of the template.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import boto3

REGION = "us-east-1"
STACK = "ephemeral"
UNKNOWN = {
    # The emulator answers the frames of a WebSocket API by the result of the function without it.
    "AWS::ApiGatewayV2::RouteResponse",
    # The emulator has no networks.
    "AWS::EC2::EIP",
    "AWS::EC2::NatGateway",
    # The local Fargate has the instances, by the names that these have in the template.
    "AWS::AutoScaling::AutoScalingGroup",
    "AWS::EC2::LaunchTemplate",
    "AWS::ECS::CapacityProvider",
    "AWS::ECS::ClusterCapacityProviderAssociations",
}
SETTINGS = {
    "architecture": "x86_64",
    # The emulator has neither networks nor flow logs.
    "flowLogs": "false",
    # The webhook receivers of the tests are on this machine.
    "webhookAllowPrivate": "true",
    # Each concurrent batch is a process here.
    "laneConcurrency": "8",
    # The most detailed level: the scenario about secrets searches all logs.
    "logLevel": "trace",
}
# Instances in place of Fargate. A session gives up waiting for one as soon as a test can wait for that.
EC2 = {"capacity": "ec2", "network": "nat", "placedWithinSeconds": "20"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True, help="URL of the emulator")
    parser.add_argument("--root", type=Path, required=True, help="the checkout")
    parser.add_argument("--work-dir", type=Path, required=True, help="for files of this run")
    parser.add_argument("--transport", choices=["exec", "link"], default="link", help="how commands reach a shell")
    parser.add_argument("--capacity", choices=["fargate", "ec2"], default="fargate", help="what tasks run on")
    args = parser.parse_args()
    binary = package(args.root / "target/debug/bootstrap", args.work_dir)
    settings = {**SETTINGS, **(EC2 if args.capacity == "ec2" else {}), "transport": args.transport}
    assembly = synthesize(args.root / "infra", binary, args.work_dir, settings)
    aws = Clients(args.endpoint)
    file = assembly / f"{STACK}.template.json"
    template = without_unknown(json.loads(file.read_text()))
    file.write_text(json.dumps(template))
    url = upload(aws, assembly)
    create(aws, url)
    json.dump(describe(aws, template, args.endpoint), sys.stdout)


class Clients:
    """Clients of the SDK with the emulator as endpoint."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        session = boto3.Session("test", "test", region_name=REGION)
        self.s3 = session.client("s3", endpoint_url=endpoint)
        self.cloudformation = session.client("cloudformation", endpoint_url=endpoint)


def package(binary: Path, work: Path) -> Path:
    """A directory with the stripped binary."""
    directory = work / "bootstrap"
    directory.mkdir()
    target = directory / "bootstrap"
    shutil.copy(binary, target)
    subprocess.run(["strip", target], check=True)
    return directory


def without_unknown(template: dict) -> dict:
    """The template without the resources that the emulator does not know; a reference to one becomes its name."""
    resources = template["Resources"]
    unknown = {name for name, resource in resources.items() if resource["Type"] in UNKNOWN}

    def replaced(value: object) -> object:
        if isinstance(value, dict):
            name = value.get("Ref")
            return name if name in unknown else {key: replaced(one) for key, one in value.items()}
        return [replaced(one) for one in value] if isinstance(value, list) else value

    known = {name: replaced(resource) for name, resource in resources.items() if name not in unknown}
    return {**template, "Resources": known}


def synthesize(infra: Path, bootstrap: Path, work: Path, settings: dict[str, str]) -> Path:
    """The cloud assembly, synthesized by the app without the CDK command line, which takes seconds."""
    assembly = work / "cdk.out"
    context = {**settings, "stackName": STACK, "bootstrap": str(bootstrap), "terminals": "true"}
    environment = {**os.environ, "CDK_OUTDIR": str(assembly), "CDK_CONTEXT_JSON": json.dumps(context)}
    command = ["node", "--import", "tsx", "bin/ephemeral.ts"]
    subprocess.run(command, cwd=infra, env=environment, stdout=sys.stderr, check=True)
    return assembly


def upload(aws: Clients, assembly: Path) -> str:
    """Uploads the assets to the places named in the template; returns the template's URL."""
    manifest = json.loads((assembly / f"{STACK}.assets.json").read_text())
    url = ""
    for asset in manifest["files"].values():
        source = assembly / asset["source"]["path"]
        body = zipped(source) if asset["source"]["packaging"] == "zip" else source.read_bytes()
        for destination in asset["destinations"].values():
            bucket = destination["bucketName"].replace("${AWS::AccountId}", "000000000000")
            bucket = bucket.replace("${AWS::Region}", REGION)
            key = destination["objectKey"]
            aws.s3.create_bucket(Bucket=bucket)
            aws.s3.put_object(Bucket=bucket, Key=key, Body=body)
            if source.name == f"{STACK}.template.json":
                url = f"{aws.endpoint}/{bucket}/{key}"
    return url


def zipped(directory: Path) -> bytes:
    """A zip of all files of the directory, compressed for speed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in sorted(directory.rglob("*")):
            archive.write(file, file.relative_to(directory))
    return buffer.getvalue()


def create(aws: Clients, url: str) -> None:
    capabilities = ["CAPABILITY_IAM"]
    aws.cloudformation.create_stack(StackName=STACK, TemplateURL=url, Capabilities=capabilities)
    waiter = aws.cloudformation.get_waiter("stack_create_complete")
    try:
        waiter.wait(StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    except Exception:
        events = aws.cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
        for event in events:
            if "FAILED" in event["ResourceStatus"]:
                print(event["LogicalResourceId"], event.get("ResourceStatusReason"), file=sys.stderr)
        raise


def describe(aws: Clients, template: dict, endpoint: str) -> dict:
    """The physical names of the resources, by the names that the tests use."""
    pages = aws.cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK)
    physical = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages
        for resource in page["StackResourceSummaries"]
    }
    stack = aws.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    functions, logs, apis = {}, {}, {}
    for logical, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Lambda::Function":
            name = resource["Properties"]["Handler"]
            functions[name] = physical[logical]
            logs[name] = physical[resource["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]]
        if resource["Type"] == "AWS::ApiGatewayV2::Api":
            apis[resource["Properties"]["ProtocolType"]] = physical[logical]
    return {
        # The emulator serves an API below this path too, which needs no DNS name.
        "api": f"{endpoint}/_aws/execute-api/{apis['HTTP']}/v1",
        "link": f"{endpoint}/_aws/execute-api/{apis['WEBSOCKET']}/link" if "WEBSOCKET" in apis else None,
        "functions": functions,
        "logs": logs,
        "queues": {
            "control": outputs["ControlQueueUrl"],
            "exec": outputs["ExecQueueUrl"],
            "task-events": outputs["TaskEventsQueueUrl"],
            "webhooks": outputs["WebhooksQueueUrl"],
        },
        "stateMachine": outputs["StateMachineArn"],
        "cluster": outputs["ClusterArn"],
        "table": outputs["TableName"],
        "bus": outputs["EventBusArn"].rsplit("/", 1)[-1],
        "userPool": outputs["UserPoolId"],
        "userPoolClient": outputs["UserPoolClientId"],
    }


if __name__ == "__main__":
    main()
