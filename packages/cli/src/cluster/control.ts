/** Asks agents and instances: one connection a question, closed afterwards, so that nothing of a command outlives it. */
import type { Endpoint, MessageOf, ReplyOf, RequestType } from '@mirabelle/messages'
import { realClock, realNetwork, silentLogger, type Hello, type Network } from '@mirabelle/runtime'
import type { ClusterFolder } from '../folder/cluster-folder.ts'

/** A host that is gone answers nothing at all. */
const CONNECT_MS = 5_000
/** A process that hangs does not answer although its host does; one that only waits for a CPU answers within this time. */
const REACHED_MS = 15_000

export class Control {
  readonly #network: Network
  readonly #clusterId: string

  constructor(network: Network, clusterId: string) {
    this.#network = network
    this.#clusterId = clusterId
  }

  /** For the cluster of this folder. */
  static of(folder: ClusterFolder): Control {
    const { encryption, certificates } = folder.file.transport ?? { encryption: 'auto' }
    const network = realNetwork({
      clusterKey: folder.key(),
      // What matters comes back as answers and errors.
      log: silentLogger,
      encryption,
      ...(certificates === undefined ? {} : { certificates }),
    })
    return new Control(network, folder.file.clusterId)
  }

  /** Sends a request and resolves with its answer. Rejects with MirabelleError (`connection.refused`, `timeout`, the peer's own error, …). */
  async ask<K extends RequestType>(
    endpoint: Endpoint,
    message: MessageOf<K>,
    timeoutMs: number,
  ): Promise<ReplyOf<K>> {
    const hello: Hello = {
      clusterId: this.#clusterId,
      kind: 'cli',
      dbid: 0,
      content: -1,
      name: 'mirabelle',
      purpose: 'control',
      epoch: 0,
    }
    const beganAt = realClock.monotonic()
    const connection = await this.#network.connect(endpoint, hello, {
      timeoutMs: Math.min(CONNECT_MS, timeoutMs),
      reachedTimeoutMs: Math.min(REACHED_MS, timeoutMs),
      silenceTimeoutMs: 0,
    })
    connection.setHandlers({ onMessage: () => undefined, onClose: () => undefined })
    try {
      return await connection.request(
        message,
        Math.max(1, Math.ceil(timeoutMs - (realClock.monotonic() - beganAt))),
      )
    } finally {
      connection.close()
    }
  }
}
