package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.RpcClient;
import com.rabbitmq.client.RpcClientParams;
import com.rabbitmq.client.RpcServer;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Calls and transactions. */
class SessionTest extends Scenarios {
  /** The client's own RPC: direct reply-to unless told otherwise. */
  @Test
  void calls() throws Exception {
    String queue = durable();
    RpcServer server = new RpcServer(connection.createChannel(), queue) {
      @Override
      public byte[] handleCall(byte[] body, com.rabbitmq.client.AMQP.BasicProperties properties) {
        return new String(body).toUpperCase().getBytes();
      }
    };
    Thread serving = new Thread(() -> {
      try {
        server.mainloop();
      } catch (java.io.IOException e) {
        throw new java.io.UncheckedIOException(e);
      }
    });
    serving.setDaemon(true);  // it ends with its connection
    serving.start();
    try (RpcClient client = new RpcClient(new RpcClientParams().channel(channel).exchange("").routingKey(queue).timeout(20_000))) {
      for (int i = 0; i < 30; i++) {
        assertEquals("CALL " + i, client.stringCall("call " + i));
      }
    }
  }

  @Test
  void commit() throws Exception {
    String queue = durable();
    Channel watch = connection.createChannel();
    put(watch, queue, "in");
    channel.txSelect();
    long tag = channel.basicGet(queue, false).getEnvelope().getDeliveryTag();
    channel.basicPublish("", queue, MessageProperties.PERSISTENT_BASIC, "a".getBytes());
    channel.basicPublish("", queue, MessageProperties.PERSISTENT_BASIC, "b".getBytes());
    channel.basicAck(tag, false);
    assertEquals(0, depth(channel, queue));
    channel.txCommit();
    assertEquals(2, depth(watch, queue));
    channel.close();
    assertEquals(List.of("a", "b"), contents(watch, queue));
  }

  @Test
  void rollback() throws Exception {
    String queue = durable();
    Channel watch = connection.createChannel();
    put(watch, queue, "in");
    channel.txSelect();
    long tag = channel.basicGet(queue, false).getEnvelope().getDeliveryTag();
    channel.basicPublish("", queue, null, "never".getBytes());
    channel.basicAck(tag, false);
    channel.txRollback();
    assertEquals(0, depth(watch, queue));
    channel.close();
    eventually("requeued", () -> depth(watch, queue) == 1);
    assertEquals(List.of("in"), contents(watch, queue));
  }

  @Test
  void transactionsAndConfirmsDoNotMix() throws Exception {
    channel.txSelect();
    Channel other = connection.createChannel();
    other.confirmSelect();
    refused(406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode", other::txSelect);
    refused(406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode", channel::confirmSelect);
    refused(406, "PRECONDITION_FAILED - channel is not transactional", connection.createChannel()::txCommit);
  }
}
