import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBufUtil;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.timeout.IdleStateEvent;
import io.netty.handler.timeout.IdleStateHandler;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Netty: a channel whose autoRead is off is not told of the peer's end; a handler with a timer closes it all the same. */
final class NettyClient {
    private NettyClient() {
    }

    private static final class CloseWhenIdle extends ChannelInboundHandlerAdapter {
        @Override
        public void userEventTriggered(ChannelHandlerContext context, Object event) {
            if (event instanceof IdleStateEvent) {
                context.close();
            }
        }
    }

    private interface Handlers {
        ChannelHandler[] make();
    }

    private static List<Channel> connect(int port, boolean autoRead, Handlers handlers) throws Exception {
        Bootstrap bootstrap = new Bootstrap().group(new NioEventLoopGroup(1)).channel(NioSocketChannel.class)
            .option(ChannelOption.AUTO_READ, autoRead)
            .handler(new ChannelInitializer<Channel>() {
                @Override
                protected void initChannel(Channel channel) {
                    channel.pipeline().addLast(handlers.make());
                }
            });
        List<Channel> channels = new ArrayList<>();
        for (int i = 0; i < Led.COUNT; i++) {
            Channel channel = bootstrap.connect("127.0.0.1", port).sync().channel();
            channel.writeAndFlush(ByteBufUtil.writeAscii(channel.alloc(), "GET /200/12 HTTP/1.1\r\n\r\n")).sync();
            channels.add(channel);
        }
        return channels;
    }

    private static ChannelHandler[] idleState(long milliseconds) {
        return new ChannelHandler[] {new IdleStateHandler(0, 0, milliseconds, TimeUnit.MILLISECONDS), new CloseWhenIdle()};
    }

    private static Object closed(int port) throws Exception {
        for (Channel channel : connect(port, false, () -> new ChannelHandler[0])) {
            channel.close().sync();
        }
        return null;
    }

    public static void main(String[] arguments) throws Exception {
        Led.lead(arguments, Map.of(
            "idle", (port, value) -> connect(port, true, () -> new ChannelHandler[0]),
            "paused", (port, value) -> connect(port, false, () -> new ChannelHandler[0]),
            "closed", (port, value) -> closed(port),
            "timed", (port, value) -> connect(port, false, () -> idleState(value))));
    }
}
