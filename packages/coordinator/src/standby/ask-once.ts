/** One question on a connection of its own, before links to the cluster stand. */
import type { Endpoint, MessageOf, ReplyOf, RequestType } from '@mirabelle/messages'
import type { Hello, Ports } from '@mirabelle/runtime'

/** Connects, asks, closes. `timeoutMs` bounds each of the first two. Rejects with what the peer says, or why it cannot be asked. */
export async function askOnce<K extends RequestType>(
  ports: Ports,
  hello: Hello,
  endpoint: Endpoint,
  message: MessageOf<K>,
  timeoutMs: number,
): Promise<ReplyOf<K>> {
  const connection = await ports.network.connect(endpoint, hello, { timeoutMs, silenceTimeoutMs: 0 })
  try {
    return await connection.request(message, timeoutMs)
  } finally {
    connection.close()
  }
}
