"""Packages of the JDK, of drivers, frameworks and other well-known libraries: what is not the program's own code."""

from __future__ import annotations

import re

from tracer.stacks.language import TLS, Part

_JDK = "the JDK"
_NAMED = {
    _JDK: "java javax jdk sun com.sun",
    TLS: "sun.security.ssl javax.net.ssl org.conscrypt org.bouncycastle",
    "Tomcat": "org.apache.catalina org.apache.tomcat org.apache.coyote org.apache.jasper org.apache.naming",
    "Spring": "org.springframework",
    "Jetty": "org.eclipse.jetty org.mortbay",
    "Netty": "io.netty",
    "Reactor": "reactor io.projectreactor",
    "Undertow": "io.undertow org.xnio",
    "JBoss": "org.jboss org.wildfly",
    "Hibernate": "org.hibernate",
    "Jersey": "org.glassfish",
    "Apache HttpComponents": "org.apache.http org.apache.hc org.apache.commons.httpclient",
    "Apache Commons": "org.apache.commons",
    "Kafka's client": "org.apache.kafka.clients org.apache.kafka.common",
    "gRPC": "io.grpc",
    "Vert.x": "io.vertx",
    "Quarkus": "io.quarkus io.smallrye",
    "Micronaut": "io.micronaut",
    "Dropwizard": "io.dropwizard com.codahale",
    "Akka": "akka org.apache.pekko",
    "OkHttp": "okhttp3 okio com.squareup.okhttp",
    "Retrofit": "retrofit2 com.squareup.retrofit2",
    "Feign": "feign",
    "HikariCP": "com.zaxxer.hikari",
    "c3p0": "com.mchange",
    "Druid": "com.alibaba.druid",
    "MyBatis": "org.apache.ibatis org.mybatis",
    "jOOQ": "org.jooq",
    "PostgreSQL's driver": "org.postgresql io.r2dbc.postgresql",
    "MySQL's driver": "com.mysql org.mariadb",
    "Oracle's driver": "oracle.jdbc oracle.net oracle.ucp",
    "SQL Server's driver": "com.microsoft.sqlserver",
    "DB2's driver": "com.ibm.db2",
    "H2": "org.h2",
    "R2DBC": "io.r2dbc",
    "MongoDB's driver": "com.mongodb",
    "Cassandra's driver": "com.datastax",
    "Jedis": "redis.clients.jedis",
    "Lettuce": "io.lettuce",
    "Redisson": "org.redisson",
    "RabbitMQ's client": "com.rabbitmq",
    "Elasticsearch's client": "org.elasticsearch.client co.elastic.clients",
    "the AWS SDK": "software.amazon.awssdk com.amazonaws",
    "Azure's SDK": "com.azure com.microsoft.azure",
    "Google's libraries": "com.google.common com.google.api com.google.cloud com.google.inject com.google.protobuf",
    "Netflix's libraries": "com.netflix",
    "Jackson": "com.fasterxml",
    "RxJava": "rx io.reactivex",
    "logging": "ch.qos.logback org.slf4j org.apache.log4j org.apache.logging",
    "telemetry": "io.opentelemetry io.micrometer io.prometheus",
    "Quartz": "org.quartz",
    "CXF": "org.apache.cxf",
    "Axis": "org.apache.axis org.apache.axis2",
    "Thrift": "org.apache.thrift",
    "MINA": "org.apache.mina",
    "ZooKeeper": "org.apache.zookeeper org.apache.curator",
    "Struts": "org.apache.struts org.apache.struts2",
    "Camel": "org.apache.camel",
    "the Servlet API": "jakarta",
    "Kotlin": "kotlin kotlinx",
    "Scala": "scala",
    "Groovy": "groovy org.codehaus.groovy org.apache.groovy",
    "Clojure": "clojure",
    "JRuby": "org.jruby",
    "code that weaves classes": "org.aspectj net.bytebuddy net.sf.cglib javassist",
    "JUnit": "org.junit junit org.testng",
}
_BY_PREFIX = {prefix: name for name, prefixes in _NAMED.items() for prefix in prefixes.split()}
_DEEPEST = max(prefix.count(".") for prefix in _BY_PREFIX) + 1
_NATIVE_HALF = re.compile(r"Java_(javax?|jdk|sun|com_sun)_")

_IDLE = re.compile(
    r"\.(ThreadPoolExecutor\.getTask|ForkJoinPool\.awaitWork|TimerThread\.mainLoop|QueuedThreadPool.*\.idleJobPoll"
    r"|SelectorImpl\.(select|lockAndDoSelect)|\w*EventLoop\.(epollWait|select)|\w*EventExecutor\.takeTask"
    r"|\w*ServerSocket(ChannelImpl)?\.(accept|implAccept)|ReferenceQueue\.remove)$"
)
_LOOP = re.compile(
    r"\.(\w*EventLoop\.\w+|\w*EventExecutor\$?\d*\.run|SelectorManager\.run|ManagedSelector\$\w+\.\w+"
    r"|\w*Endpoint\$Poller\.run|WorkerThread\.run|ThreadPoolExecutor\.runWorker|ForkJoinPool\.runWorker"
    r"|(Default\w*|Abstract\w*|Internal\w*)?IO(Reactor|Dispatch)\w*\.\w+|EPollPort\$EventHandlerTask\.run)$"
)
_SLEEPS = frozenset(f"java.lang.Thread.sleep{kind}" for kind in ("", "0", "Nanos", "Nanos0"))
"""In JDK 17 to 25; the JVM waits in futex then."""
_MOVES = re.compile(r"java\.lang\.VirtualThread\.run|jdk\.internal\.vm\.Continuation\.\w+")


def package(function: str) -> str:
    """Name the library that a method ``a.b.Class.method`` belongs to; empty for any other code."""
    words = function.split(".", _DEEPEST)
    for count in range(min(len(words) - 1, _DEEPEST), 0, -1):
        name = _BY_PREFIX.get(".".join(words[:count]))
        if name is not None:
            return name
    return _JDK if _NATIVE_HALF.match(function) else ""


def part(function: str) -> Part:
    """Tell selectors, event loops and the workers of pools by their methods."""
    if _MOVES.match(function):
        return Part.MOVES
    if function == "java.lang.Thread.join":
        return Part.JOINS
    if function in _SLEEPS:
        return Part.SLEEPS
    if not package(function):
        return Part.OTHER
    return Part.IDLE if _IDLE.search(function) else Part.LOOP if _LOOP.search(function) else Part.OTHER
