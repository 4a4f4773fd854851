"""botocore: its urllib3 pool has no idle limit; a streamed body keeps its connection until it is closed."""

import botocore.session
from botocore.config import Config
from led import COUNT, at_once, lead


def client(base):
    return botocore.session.get_session().create_client(
        "s3",
        region_name="eu-west-1",
        endpoint_url=base,
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
    )


def head(one):
    return one.head_object(Bucket="200", Key="0")


def idle(base, _):
    one = client(base)
    at_once(lambda: head(one))
    return one


def closed(base, _):
    one = client(base)
    at_once(lambda: head(one))
    one.close()
    return one


def kept(base, _):
    one = client(base)
    return one, [one.get_object(Bucket="200", Key="12")["Body"] for _ in range(COUNT)]


def released(base, _):
    one = client(base)
    for _ in range(COUNT):
        one.get_object(Bucket="200", Key="12")["Body"].close()
    return one


lead({"idle": idle, "closed": closed, "kept": kept, "released": released})
