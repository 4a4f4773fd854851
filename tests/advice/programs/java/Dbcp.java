import java.sql.Connection;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.commons.dbcp2.BasicDataSource;

/** Commons DBCP on Commons Pool: idle connections are evicted only if evictions are made to run. */
final class Dbcp {
    private Dbcp() {
    }

    private static BasicDataSource source(int port) {
        BasicDataSource source = new BasicDataSource();
        source.setUrl("jdbc:postgresql://127.0.0.1:" + port + "/postgres?sslmode=disable");
        source.setUsername("postgres");
        return source;
    }

    private static BasicDataSource evicting(int port, long milliseconds) {
        BasicDataSource source = source(port);
        source.setMinEvictableIdleTimeMillis(milliseconds);
        source.setTimeBetweenEvictionRunsMillis(milliseconds / 2);
        return source;
    }

    private static Object ask(BasicDataSource source) throws Exception {
        try (Connection connection = source.getConnection()) {
            Thread.sleep(500);
            return connection.createStatement().executeQuery("SELECT 1");
        }
    }

    private static Object idle(BasicDataSource source) throws Exception {
        Led.atOnce(() -> ask(source));
        return source;
    }

    private static Object kept(BasicDataSource source) throws Exception {
        List<Object> connections = new ArrayList<>(List.of(source));
        for (int i = 0; i < Led.COUNT; i++) {
            connections.add(source.getConnection());
        }
        return connections;
    }

    public static void main(String[] arguments) throws Exception {
        Led.lead(arguments, Map.of(
            "idle", (port, value) -> idle(source(port)),
            "evicting", (port, value) -> idle(evicting(port, value)),
            "kept", (port, value) -> kept(evicting(port, value)),
            "released", (port, value) -> idle(evicting(port, value))));
    }
}
