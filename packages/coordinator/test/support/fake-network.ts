/** A network whose peers are functions, by port. */
import { MirabelleError, type Message } from '@mirabelle/messages'
import type { Connection, ConnectionHandlers, Hello, Network } from '@mirabelle/runtime'
import type { ManualClock } from './manual-clock.ts'

/** Answers by port: a message, an error, or nothing (a peer that hangs). */
export class FakeNetwork implements Network {
  readonly answers = new Map<number, (message: Message) => Message | MirabelleError | undefined>()
  readonly connections: (Connection & {
    cut: (code?: 'connection.lost') => void
    /** A message of the peer that answers nothing. */
    says: (message: Message) => void
  })[] = []
  readonly clock: ManualClock

  constructor(clock: ManualClock) {
    this.clock = clock
  }
  listen(): Promise<never> {
    return Promise.reject(new Error('nobody listens here'))
  }
  connect(endpoint: { port: number }, _hello: Hello): Promise<Connection> {
    if (!this.answers.has(endpoint.port))
      return Promise.reject(new MirabelleError('connection.refused', `nobody at ${endpoint.port}`))
    let handlers: ConnectionHandlers | undefined
    let closed = false
    const close = (reason = new MirabelleError('connection.lost', 'cut')) => {
      if (closed) return
      closed = true
      setImmediate(() => handlers?.onClose(reason))
    }
    const connection = {
      peer: {},
      remoteAddress: '',
      remotePort: endpoint.port,
      get closed() {
        return closed
      },
      setHandlers: (given: ConnectionHandlers) => (handlers = given),
      send() {},
      request: (message: Message, timeoutMs: number) =>
        new Promise((resolve, reject) => {
          const reply = this.answers.get(endpoint.port)?.(message)
          if (reply instanceof MirabelleError) reject(reply)
          else if (reply !== undefined) resolve(reply)
          else this.clock.setTimer(timeoutMs, () => reject(new MirabelleError('timeout', 'no answer')))
        }),
      bufferedBytes: 0,
      drained: () => Promise.resolve(),
      close,
      cut: close,
      says: (message: Message) => handlers?.onMessage(message, undefined),
    } as unknown as (typeof this.connections)[number]
    this.connections.push(connection)
    return Promise.resolve(connection)
  }
}
