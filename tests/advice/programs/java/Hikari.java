import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** HikariCP: a pool that fills itself in advance; it takes no maxLifetime below 30 s. */
final class Hikari {
    private Hikari() {
    }

    private static HikariConfig config(int port) {
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl("jdbc:postgresql://127.0.0.1:" + port + "/postgres?sslmode=disable");
        config.setUsername("postgres");
        config.setMaximumPoolSize(Led.COUNT);
        return config;
    }

    private static Object pool(HikariConfig config) throws Exception {
        HikariDataSource source = new HikariDataSource(config);
        Led.atOnce(() -> ask(source));
        return source;
    }

    private static Object ask(HikariDataSource source) throws Exception {
        try (Connection connection = source.getConnection()) {
            Thread.sleep(500);
            return connection.createStatement().executeQuery("SELECT 1");
        }
    }

    private static HikariConfig aged(int port, long milliseconds) {
        HikariConfig config = config(port);
        config.setMaxLifetime(milliseconds);
        return config;
    }

    private static Object kept(int port) throws Exception {
        HikariDataSource source = new HikariDataSource(config(port));
        List<Object> connections = new ArrayList<>(List.of(source));
        for (int i = 0; i < Led.COUNT; i++) {
            connections.add(source.getConnection());
        }
        return connections;
    }

    private static Object released(HikariDataSource source) throws Exception {
        for (int i = 0; i < Led.COUNT; i++) {
            try (Connection connection = source.getConnection()) {
                connection.createStatement().executeQuery("SELECT 1");
            }
        }
        return source;
    }

    /** Says what is left of a maxLifetime: the time given if the library takes it. */
    private static Object checked(long milliseconds) {
        HikariConfig config = config(9);
        config.setMaxLifetime(milliseconds);
        config.validate();
        System.out.println(config.getMaxLifetime());
        return config;
    }

    public static void main(String[] arguments) throws Exception {
        Led.lead(arguments, Map.of(
            "idle", (port, value) -> pool(config(port)),
            "aging", (port, value) -> pool(aged(port, value)),
            "kept", (port, value) -> kept(port),
            "released", (port, value) -> released(new HikariDataSource(aged(port, value))),
            "checked", (port, value) -> checked(value)));
    }
}
