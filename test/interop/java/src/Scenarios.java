package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.ShutdownSignalException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.TestInfo;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.function.Executable;

/** What the scenarios of RabbitMQ's Java client share: one broker, and a connection each. */
@ExtendWith(Scenarios.Shared.class)
abstract class Scenarios {
  /** Seconds that a scenario waits for what must come. */
  static final long PATIENCE = 20;

  private static final AtomicInteger NUMBERS = new AtomicInteger();

  static Broker broker;
  Connection connection;
  Channel channel;
  private String name;
  private final List<String> made = new ArrayList<>();

  /** Starts the broker before the first scenario and stops it after the last. */
  static final class Shared implements BeforeAllCallback {
    @Override
    public void beforeAll(ExtensionContext context) {
      broker = context.getRoot().getStore(ExtensionContext.Namespace.GLOBAL).getOrComputeIfAbsent(Running.class, k -> new Running(), Running.class).broker;
    }

    static final class Running implements AutoCloseable {
      final Broker broker;

      Running() {
        try {
          broker = new Broker();
        } catch (java.io.IOException e) {
          throw new java.io.UncheckedIOException(e);
        }
      }

      @Override
      public void close() throws java.io.IOException {
        broker.close();
      }
    }
  }

  @BeforeEach
  void open(TestInfo info) throws Exception {
    name = "java." + info.getTestMethod().orElseThrow().getName();
    connection = broker.dial();
    channel = connection.createChannel();
  }

  @AfterEach
  void close() throws Exception {
    connection.abort(5000);
    try (Connection last = broker.dial()) {
      for (String queue : made) {
        last.createChannel().queueDelete(queue);
      }
    }
  }

  /** A name that no other scenario uses. */
  String unique() {
    return name + "." + NUMBERS.incrementAndGet();
  }

  /** Declares a durable queue that goes with the scenario. */
  String durable(Map<String, Object> arguments) throws Exception {
    String queue = unique();
    channel.queueDeclare(queue, true, false, false, arguments);
    made.add(queue);
    return queue;
  }

  String durable() throws Exception {
    return durable(Map.of());
  }

  /** Declares an exchange that goes with its last binding. */
  String exchange(String kind) throws Exception {
    String exchange = unique();
    channel.exchangeDeclare(exchange, kind, false, true, null);
    return exchange;
  }

  String bound(String exchange, String key, Map<String, Object> arguments) throws Exception {
    String queue = channel.queueDeclare().getQueue();
    channel.queueBind(queue, exchange, key, arguments);
    return queue;
  }

  /** Publishes persistent messages to a queue and waits until all are confirmed. */
  static void put(Channel channel, String queue, String... bodies) throws Exception {
    for (String body : bodies) {
      channel.basicPublish("", queue, MessageProperties.PERSISTENT_BASIC, body.getBytes());
    }
    channel.confirmSelect();
    confirmed(channel);
  }

  static void confirmed(Channel channel) throws Exception {
    channel.waitForConfirmsOrDie(TimeUnit.SECONDS.toMillis(PATIENCE));
  }

  /** A delivery as the scenarios look at it. */
  record Got(com.rabbitmq.client.Envelope envelope, AMQP.BasicProperties properties, String body) {
    long tag() {
      return envelope.getDeliveryTag();
    }

    boolean again() {
      return envelope.isRedeliver();
    }
  }

  static BlockingQueue<Got> consume(Channel channel, String queue, boolean autoAck, Map<String, Object> arguments) throws Exception {
    BlockingQueue<Got> into = new LinkedBlockingQueue<>();
    channel.basicConsume(
        queue, autoAck, arguments,
        (tag, d) -> into.add(new Got(d.getEnvelope(), d.getProperties(), new String(d.getBody()))), tag -> {});
    return into;
  }

  static BlockingQueue<Got> consume(Channel channel, String queue) throws Exception {
    return consume(channel, queue, false, Map.of());
  }

  static <T> T next(BlockingQueue<T> from) throws InterruptedException {
    T got = from.poll(PATIENCE, TimeUnit.SECONDS);
    assertNotNull(got, "nothing came");
    return got;
  }

  /** Receives deliveries and wants them to have these bodies in this order. */
  static List<Got> take(BlockingQueue<Got> from, String... bodies) throws InterruptedException {
    List<Got> all = new ArrayList<>();
    for (String body : bodies) {
      Got got = next(from);
      assertEquals(body, got.body());
      all.add(got);
    }
    return all;
  }

  static Got get(Channel channel, String queue) throws Exception {
    GetResponse got = channel.basicGet(queue, true);
    return got == null ? null : new Got(got.getEnvelope(), got.getProps(), new String(got.getBody()));
  }

  /** Waits for the next message of a queue. */
  static Got arrives(Channel channel, String queue) throws Exception {
    List<Got> got = new ArrayList<>();
    eventually("a message in " + queue, () -> {
      Got one = get(channel, queue);
      return one != null && got.add(one);
    });
    return got.get(0);
  }

  static List<String> contents(Channel channel, String queue) throws Exception {
    List<String> bodies = new ArrayList<>();
    for (Got got = get(channel, queue); got != null; got = get(channel, queue)) {
      bodies.add(got.body());
    }
    return bodies;
  }

  static long depth(Channel channel, String queue) throws Exception {
    return channel.messageCount(queue);
  }

  static void eventually(String what, Callable<Boolean> ask) throws Exception {
    for (long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE); System.nanoTime() < end; Thread.sleep(10)) {
      if (ask.call()) {
        return;
      }
    }
    throw new AssertionError(what + ": not within " + PATIENCE + " s");
  }

  /** Wants an action to end its channel with this code and text. */
  static void refused(int code, String text, Executable action) {
    Throwable caught = org.junit.jupiter.api.Assertions.assertThrows(Exception.class, action);
    while (caught != null && !(caught instanceof ShutdownSignalException)) {
      caught = caught.getCause();
    }
    assertNotNull(caught, "not the broker's answer");
    Object reason = ((ShutdownSignalException) caught).getReason();
    assertTrue(reason instanceof AMQP.Channel.Close, () -> "not the channel's end: " + reason);
    AMQP.Channel.Close close = (AMQP.Channel.Close) reason;
    assertEquals(code + " " + text, close.getReplyCode() + " " + close.getReplyText());
  }
}
