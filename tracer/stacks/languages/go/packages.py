"""Well-known modules of others. The standard library is not here: its frames are marked internal."""

from __future__ import annotations

_PREFIXES = (
    "golang.org/x/",
    "google.golang.org/",
    "go.mongodb.org/",
    "go.etcd.io/",
    "go.opentelemetry.io/",
    "go.uber.org/",
    "gorm.io/",
    "k8s.io/client-go/",
    "k8s.io/apimachinery/",
    "gopkg.in/",
    "github.com/go-sql-driver/",
    "github.com/jackc/",
    "github.com/lib/pq",
    "github.com/jmoiron/sqlx",
    "github.com/redis/",
    "github.com/go-redis/",
    "github.com/gomodule/redigo",
    "github.com/bradfitz/gomemcache",
    "github.com/valyala/fasthttp",
    "github.com/gin-gonic/",
    "github.com/labstack/echo",
    "github.com/gorilla/",
    "github.com/gofiber/",
    "github.com/go-chi/",
    "github.com/julienschmidt/httprouter",
    "github.com/go-resty/",
    "github.com/hashicorp/go-",
    "github.com/aws/aws-sdk-go",
    "github.com/aws/smithy-go",
    "github.com/Azure/azure-sdk-for-go",
    "github.com/IBM/sarama",
    "github.com/Shopify/sarama",
    "github.com/segmentio/kafka-go",
    "github.com/confluentinc/confluent-kafka-go",
    "github.com/nats-io/",
    "github.com/streadway/amqp",
    "github.com/rabbitmq/",
    "github.com/prometheus/client_golang",
    "github.com/elastic/go-elasticsearch",
    "github.com/olivere/elastic",
    "github.com/coder/websocket",
    "github.com/sirupsen/logrus",
    "github.com/rs/zerolog",
)


def package(function: str) -> str:
    """The module's path, as far as it is known to be somebody else's; empty for any other code."""
    return next((prefix.rstrip("/-") for prefix in _PREFIXES if function.startswith(prefix)), "")
