import io.netty.bootstrap.Bootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.pool.AbstractChannelPoolHandler;
import io.netty.channel.pool.SimpleChannelPool;
import io.netty.channel.socket.nio.NioSocketChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Netty's channel pool: channels that are given back to it, and channels that are not; and channels without a pool. */
final class NettyPool {
    private NettyPool() {
    }

    private static final class Handler extends AbstractChannelPoolHandler {
        @Override
        public void channelCreated(Channel channel) {
            channel.pipeline().addLast(new ChannelInitializer<Channel>() {
                @Override
                protected void initChannel(Channel made) {
                }
            });
        }
    }

    /** Channels that only their event loop knows. */
    private static Object plain(int port) throws Exception {
        Bootstrap bootstrap = new Bootstrap().group(new NioEventLoopGroup(1)).channel(NioSocketChannel.class)
            .handler(new ChannelInitializer<Channel>() {
                @Override
                protected void initChannel(Channel made) {
                }
            });
        for (int i = 0; i < Led.COUNT; i++) {
            bootstrap.connect("127.0.0.1", port).sync();
        }
        return "nothing";
    }

    private static Object use(int port, boolean back) throws Exception {
        Bootstrap bootstrap = new Bootstrap().group(new NioEventLoopGroup(1)).channel(NioSocketChannel.class)
            .remoteAddress("127.0.0.1", port);
        SimpleChannelPool pool = new SimpleChannelPool(bootstrap, new Handler());
        List<Object> kept = new ArrayList<>();
        List<Channel> channels = new ArrayList<>();
        for (int i = 0; i < Led.COUNT; i++) {
            channels.add(pool.acquire().sync().getNow());
        }
        kept.add(pool);
        if (!back) {
            kept.addAll(channels);
        } else {
            for (Channel channel : channels) {
                pool.release(channel).sync();
            }
        }
        return kept;
    }

    public static void main(String[] arguments) throws Exception {
        Led.lead(arguments, Map.of(
            "plain", (port, value) -> plain(port),
            "idle", (port, value) -> use(port, true),
            "kept", (port, value) -> use(port, false)));
    }
}
