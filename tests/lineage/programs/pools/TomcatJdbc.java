import java.sql.Connection;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.tomcat.jdbc.pool.DataSource;
import org.apache.tomcat.jdbc.pool.PoolProperties;

/** Tomcat's JDBC pool: connections that are given back, and connections that are not. */
final class TomcatJdbc {
    private TomcatJdbc() {
    }

    private static DataSource source(int port) {
        PoolProperties properties = new PoolProperties();
        properties.setUrl("jdbc:postgresql://127.0.0.1:" + port + "/postgres?sslmode=disable");
        properties.setUsername("postgres");
        properties.setDriverClassName("org.postgresql.Driver");
        properties.setInitialSize(0);
        properties.setMinIdle(0);
        properties.setMaxIdle(Led.COUNT);
        return new DataSource(properties);
    }

    private static Object ask(DataSource source) throws Exception {
        try (Connection connection = source.getConnection()) {
            Thread.sleep(500);
            return connection.createStatement().executeQuery("SELECT 1");
        }
    }

    private static Object idle(DataSource source) throws Exception {
        Led.atOnce(() -> ask(source));
        return source;
    }

    private static Object kept(DataSource source) throws Exception {
        List<Object> connections = new ArrayList<>(List.of(source));
        for (int i = 0; i < Led.COUNT; i++) {
            connections.add(source.getConnection());
        }
        return connections;
    }

    public static void main(String[] arguments) throws Exception {
        Led.lead(arguments, Map.of(
            "idle", (port, value) -> idle(source(port)),
            "kept", (port, value) -> kept(source(port))));
    }
}
