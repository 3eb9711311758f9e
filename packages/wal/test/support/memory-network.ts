/**
 * Connections between actors in one process, for tests: messages arrive in order, whole, in a later turn. A test can hold a
 * direction up, change messages on their way, refuse connections and cut them.
 */
import { isMirabelleError, MirabelleError } from '@mirabelle/messages'
import type { Message, MessageOf, ReplyOf, RequestType } from '@mirabelle/messages'
import type {
  Connection,
  ConnectionHandlers,
  Hello,
  Listener,
  Network,
  Party,
  Responder,
} from '@mirabelle/runtime'

interface Wire {
  readonly message: Message
  readonly id?: number
  readonly answers?: number
  readonly error?: MirabelleError
}

export interface MemoryNetwork extends Network {
  /** Every message on its way to the listener or to the opener; what it returns arrives instead, undefined = lost. */
  alter: (message: Message, to: 'listener' | 'opener') => Message | undefined
  /** Nothing that is sent to the opener arrives while it is true. */
  holdToOpener: boolean
  readonly connections: MemoryConnection[]
  /** Ends all connections, as a killed process does. */
  cut(): void
}

export function memoryNetwork(): MemoryNetwork {
  const listeners = new Map<number, { self: () => Party; accept: (c: Connection, h: Hello) => void }>()
  let nextPort = 1
  const network: MemoryNetwork = {
    alter: (message) => message,
    holdToOpener: false,
    connections: [],
    cut() {
      for (const one of network.connections.splice(0)) one.close(new MirabelleError('connection.lost', 'cut'))
    },
    listen(endpoint, self, accept) {
      const port = endpoint.port === 0 ? nextPort++ : endpoint.port
      listeners.set(port, { self, accept })
      return Promise.resolve<Listener>({
        port,
        close: () => {
          listeners.delete(port)
          return Promise.resolve()
        },
      })
    },
    async connect(endpoint, hello) {
      await new Promise((resolve) => setImmediate(resolve))
      const listener = listeners.get(endpoint.port)
      if (listener === undefined) throw new MirabelleError('connection.refused', `nobody at ${endpoint.port}`)
      const opener = new MemoryConnection(network, listener.self(), 'listener')
      const accepted = new MemoryConnection(network, hello, 'opener')
      opener.other = accepted
      accepted.other = opener
      network.connections.push(opener)
      listener.accept(accepted, hello)
      return opener
    },
  }
  return network
}

export class MemoryConnection implements Connection {
  readonly peer: Hello | Party
  readonly remoteAddress = 'memory'
  readonly remotePort = 1
  closed = false
  other!: MemoryConnection
  bufferedBytes = 0
  readonly #network: MemoryNetwork
  readonly #to: 'listener' | 'opener'
  #handlers: ConnectionHandlers | undefined
  #outbox: Wire[] = []
  #planned = false
  #nextId = 1
  readonly #waiting = new Map<number, { resolve: (m: Message) => void; reject: (e: unknown) => void }>()
  #drains: (() => void)[] = []

  constructor(network: MemoryNetwork, peer: Hello | Party, to: 'listener' | 'opener') {
    this.#network = network
    this.peer = peer
    this.#to = to
  }

  setHandlers(handlers: ConnectionHandlers): void {
    this.#handlers = handlers
  }

  send(message: Message): void {
    this.#queue({ message })
  }

  request<K extends RequestType>(message: MessageOf<K>, timeoutMs: number): Promise<ReplyOf<K>> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new MirabelleError('timeout', `${message.type} in ${timeoutMs} ms`)),
        timeoutMs,
      )
      this.#waiting.set(id, {
        resolve: (answer) => {
          clearTimeout(timer)
          resolve(answer as never)
        },
        reject: (error: unknown) => {
          clearTimeout(timer)
          reject(error as Error)
        },
      })
      this.#queue({ message: message as Message, id })
    })
  }

  drained(): Promise<void> {
    if (this.closed || this.bufferedBytes < 1024 * 1024) return Promise.resolve()
    return new Promise((resolve) => this.#drains.push(resolve))
  }

  close(reason = new MirabelleError('connection.lost', 'closed')): void {
    if (this.closed) return
    this.#end(reason)
    setImmediate(() => this.other.#end(new MirabelleError('connection.lost', 'the peer closed')))
  }

  #end(reason: MirabelleError): void {
    if (this.closed) return
    this.closed = true
    this.#outbox = []
    for (const { reject } of this.#waiting.values()) reject(reason)
    for (const resolve of this.#drains.splice(0)) resolve()
    this.#handlers?.onClose(reason)
  }

  #queue(wire: Wire): void {
    if (this.closed) return
    this.#outbox.push(wire)
    if (wire.message?.type === 'wal.data') this.bufferedBytes += wire.message.bytes.length
    this.pump()
  }

  pump(): void {
    if (this.#planned) return
    this.#planned = true
    setImmediate(() => {
      this.#planned = false
      if (this.closed) return
      if (this.#to === 'opener' && this.#network.holdToOpener) {
        setTimeout(() => this.pump(), 2)
        return
      }
      for (const wire of this.#outbox.splice(0)) this.#deliver(wire)
      this.bufferedBytes = 0
      for (const resolve of this.#drains.splice(0)) resolve()
    })
  }

  #deliver(wire: Wire): void {
    const { other } = this
    if (other.closed) return
    if (wire.answers !== undefined) {
      const waiter = other.#waiting.get(wire.answers)
      other.#waiting.delete(wire.answers)
      if (wire.error === undefined) waiter?.resolve(wire.message)
      else waiter?.reject(wire.error)
      return
    }
    const message = this.#network.alter(wire.message, this.#to)
    if (message === undefined) return
    const { id } = wire
    try {
      if (id === undefined) other.#handlers?.onMessage(message, undefined)
      else other.#handlers?.onMessage(message, other.#responder(id))
    } catch (error) {
      if (!isMirabelleError(error)) throw error
      other.close(error)
    }
  }

  #responder(id: number): Responder {
    return {
      reply: (message) => this.#queue({ message, answers: id }),
      fail: (error) => {
        if (!isMirabelleError(error)) throw error
        this.#queue({ message: undefined as never, answers: id, error })
      },
    }
  }
}
