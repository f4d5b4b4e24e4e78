package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.rabbitmq.client.AMQP;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import org.junit.jupiter.api.Test;

class LettersTest extends Scenarios {
  private static List<?> deaths(Got got) {
    return (List<?>) got.properties().getHeaders().get("x-death");
  }

  private static void died(Object death, String reason, String queue, String exchange, long count, String... keys) {
    Map<?, ?> entry = (Map<?, ?>) death;
    assertEquals(List.of(reason, queue, exchange, List.of(keys).toString()), List.of(entry.get("reason").toString(),
        entry.get("queue").toString(), entry.get("exchange").toString(), entry.get("routing-keys").toString()));
    assertEquals(count, entry.get("count"));
    assertTrue(Math.abs(((Date) entry.get("time")).getTime() - System.currentTimeMillis()) < 60_000, () -> "" + entry.get("time"));
  }

  private Map<String, Object> letters(String to, Map<String, Object> more) {
    Map<String, Object> arguments = new HashMap<>(more);
    arguments.put("x-dead-letter-exchange", "");
    arguments.put("x-dead-letter-routing-key", to);
    return arguments;
  }

  @Test
  void rejected() throws Exception {
    String dlx = exchange("topic");
    String graves = bound(dlx, "#", null);
    String queue = durable(Map.of("x-dead-letter-exchange", dlx));
    channel.queueBind(queue, "amq.direct", queue);
    channel.basicPublish("amq.direct", queue, new AMQP.BasicProperties.Builder().headers(Map.of("mine", "kept")).build(), "x".getBytes());
    channel.basicReject(take(consume(channel, queue), "x").get(0).tag(), false);
    Got dead = arrives(channel, graves);
    assertEquals(List.of(dlx, queue, "x"), List.of(dead.envelope().getExchange(), dead.envelope().getRoutingKey(), dead.body()));
    assertEquals("kept", dead.properties().getHeaders().get("mine").toString());
    died(deaths(dead).get(0), "rejected", queue, "amq.direct", 1, queue);
    assertEquals("rejected", dead.properties().getHeaders().get("x-first-death-reason").toString());
    assertEquals(queue, dead.properties().getHeaders().get("x-first-death-queue").toString());
    assertEquals("amq.direct", dead.properties().getHeaders().get("x-first-death-exchange").toString());
  }

  @Test
  void expiredByQueueAndByMessage() throws Exception {
    String graves = durable();
    String byQueue = durable(letters(graves, Map.of("x-message-ttl", 5)));
    String byMessage = durable(letters(graves, Map.of()));
    put(channel, byQueue, "q");
    Got dead = arrives(channel, graves);
    died(deaths(dead).get(0), "expired", byQueue, "", 1, byQueue);
    channel.basicPublish("", byMessage, new AMQP.BasicProperties.Builder().expiration("5").build(), "m".getBytes());
    dead = arrives(channel, graves);
    died(deaths(dead).get(0), "expired", byMessage, "", 1, byMessage);
    assertEquals("5", ((Map<?, ?>) deaths(dead).get(0)).get("original-expiration").toString());
    assertNull(dead.properties().getExpiration());
  }

  @Test
  void tooLong() throws Exception {
    String graves = durable();
    String queue = durable(letters(graves, Map.of("x-max-length", 1)));
    put(channel, queue, "old", "new");
    Got dead = arrives(channel, graves);
    assertEquals("old", dead.body());
    died(deaths(dead).get(0), "maxlen", queue, "", 1, queue);
  }

  @Test
  void retriesCount() throws Exception {
    String work = unique();
    String wait = unique();
    channel.queueDeclare(work, false, true, false, letters(wait, Map.of()));
    channel.queueDeclare(wait, false, true, false, letters(work, Map.of("x-message-ttl", 5)));
    put(channel, work, "job");
    BlockingQueue<Got> tries = consume(channel, work);
    for (int i = 0; i < 3; i++) {
      channel.basicNack(take(tries, "job").get(0).tag(), false, false);
    }
    List<?> deaths = deaths(take(tries, "job").get(0));
    assertEquals(2, deaths.size());
    died(deaths.get(0), "expired", wait, "", 3, wait);
    died(deaths.get(1), "rejected", work, "", 3, work);
  }
}
