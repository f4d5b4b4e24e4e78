package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class OperatorTest extends Scenarios {
  private boolean alarm;
  private boolean policy;

  @AfterEach
  void calm() throws Exception {
    if (alarm) {
      alarm(false);
    }
    if (policy) {
      broker.ctl("clear_policy", "java");
    }
  }

  private void alarm(boolean on) throws Exception {
    alarm = on;
    broker.ctl("set_vm_memory_high_watermark", on ? "0" : "0.4");
  }

  private void policy(String queue, String definition) throws Exception {
    policy = true;
    broker.ctl("set_policy", "java", "^" + queue + "$", definition, "--apply-to", "queues");
  }

  @Test
  void blockedConnection() throws Exception {
    String queue = durable();
    BlockingQueue<String> told = new LinkedBlockingQueue<>();
    try (Connection publisher = broker.dial()) {
      publisher.addBlockedListener(told::add, () -> told.add("over"));
      Channel sending = publisher.createChannel();
      put(sending, queue, "before");
      alarm(true);
      sending.basicPublish("", queue, null, "held".getBytes());
      assertEquals("low on memory", next(told));
      BlockingQueue<Got> from = consume(channel, queue);
      channel.basicAck(take(from, "before").get(0).tag(), false);
      assertEquals(0, depth(channel, queue));
      alarm(false);
      assertEquals("over", next(told));
      confirmed(sending);
      take(from, "held");
    }
  }

  @Test
  void policyOnALiveQueue() throws Exception {
    String queue = durable();
    String graves = durable();
    put(channel, queue, "a", "b", "c");
    policy(queue, "{\"max-length\":1}");
    eventually("the head is dropped", () -> depth(channel, queue) == 1);
    assertEquals(List.of("c"), contents(channel, queue));
    policy(queue, "{\"message-ttl\":10,\"dead-letter-exchange\":\"\",\"dead-letter-routing-key\":\"" + graves + "\"}");
    put(channel, queue, "d");
    assertEquals("d", arrives(channel, graves).body());
  }
}
