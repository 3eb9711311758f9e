/** What planted bugs are made of: things that are put between an actor and a port. */
import type { Processes, ProcessExit, WatchedProcess } from '@mirabelle/agent'
import type { WalParts } from '@mirabelle/instance'
import type { Message } from '@mirabelle/messages'
import type { Connection, Disk, FileHandle, Hello, Ports } from '@mirabelle/runtime'
import type { SimEngine } from './sim-engine.ts'
import { frontendQueries, queryBytes } from './pg-bytes.ts'

/** A disk whose files say that they are synced when they are not. */
export function withoutSync(disk: Disk): Disk {
  return wrapDisk(disk, (file) => ({ sync: () => file.size().then(() => undefined) }))
}

/** A disk on which a file that was written to while it was being synced counts as clean when that has ended. */
export function withWritesUnderWayForgotten(disk: Disk): Disk {
  return wrapDisk(disk, (file) => {
    let isDirty = false
    return {
      write: (position, bytes) => {
        isDirty = true
        return file.write(position, bytes)
      },
      sync: () => {
        if (!isDirty) return file.size().then(() => undefined)
        isDirty = false
        return file.sync()
      },
    }
  })
}

/** A disk on which an fsync of WAL that failed counts as done. */
export function withFailedSyncsForgiven(disk: Disk): Disk {
  return wrapDisk(disk, (file) => ({ sync: () => file.sync().catch(() => undefined) }))
}

/** A disk that does not keep these files: what is written to them is gone at the next start. */
export function withoutFiles(disk: Disk, forgets: (path: string, text: string) => boolean): Disk {
  const real = wrapDisk(disk, () => ({}))
  return {
    ...real,
    writeFileDurable: (path, content) => {
      const text = typeof content === 'string' ? content : new TextDecoder().decode(content)
      return forgets(path, text) ? Promise.resolve() : disk.writeFileDurable(path, content)
    },
  }
}

/** A disk on which what an earlier process has left in WAL files is not made durable: files to which nothing is added, for what is behind the end is cleared in any case. */
export function withoutSyncingTails(disk: Disk): Disk {
  const real = wrapDisk(disk, () => ({}))
  return {
    ...real,
    open: async (path, mode) => {
      const file = await real.open(path, mode)
      let wrote = false
      return {
        ...file,
        write: (position, bytes) => {
          wrote ||= bytes.some((byte) => byte !== 0)
          return file.write(position, bytes)
        },
        sync: () => (wrote ? file.sync() : Promise.resolve()),
      }
    },
  }
}

/** A disk on which folders are not synced. */
export function withoutSyncingNames(disk: Disk): Disk {
  return { ...wrapDisk(disk, () => ({})), syncDir: () => Promise.resolve() }
}

/** A disk on which these files seem not to be there when they are read. */
export function withUnreadable(disk: Disk, which: (path: string) => boolean): Disk {
  return {
    ...wrapDisk(disk, () => ({})),
    readFile: (path) =>
      which(path)
        ? Promise.reject(Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' }))
        : disk.readFile(path),
  }
}

/** Ports whose connections are changed after they are made, and say something else of whoever makes them. */
export function withConnections(
  ports: Ports,
  change: (connection: Connection) => void,
  introduce: (hello: Hello) => Hello = (hello) => hello,
): Ports {
  const { network } = ports
  return {
    ...ports,
    network: {
      listen: (endpoint, self, accept) => network.listen(endpoint, self, accept),
      connect: async (endpoint, hello, options) => {
        const connection = await network.connect(endpoint, introduce(hello), options)
        change(connection)
        return connection
      },
    },
  }
}

/** Ports of a process that takes what others ask of it for something else, also what they say of themselves. */
export function withIncoming(ports: Ports, change: <T>(message: T) => T): Ports {
  const { network } = ports
  return {
    ...ports,
    network: {
      connect: (endpoint, hello, options) => network.connect(endpoint, hello, options),
      listen: (endpoint, self, accept) =>
        network.listen(endpoint, self, (connection, hello) => {
          const setHandlers = connection.setHandlers.bind(connection)
          connection.setHandlers = ({ onMessage, onClose }) =>
            setHandlers({ onMessage: (message, respond) => onMessage(change(message), respond), onClose })
          accept(connection, change(hello))
        }),
    },
  }
}

/** A disk that says of these files that they are durable before they are. */
export function withoutWaitingFor(disk: Disk, which: (path: string) => boolean): Disk {
  return {
    ...wrapDisk(disk, () => ({})),
    writeFileDurable: (path, content) => {
      const written = disk.writeFileDurable(path, content)
      if (!which(path)) return written
      written.catch(() => undefined)
      return Promise.resolve()
    },
  }
}

/** Ports whose connections ask something else. `ask` gets the question and a way to ask it really. */
export function withRequests(
  ports: Ports,
  ask: (message: Message, really: (message: Message) => Promise<Message>) => Promise<Message>,
): Ports {
  return withConnections(ports, (connection) => {
    const request = connection.request.bind(connection) as (
      message: Message,
      timeoutMs: number,
    ) => Promise<Message>
    connection.request = ((message: Message, timeoutMs: number) =>
      ask(message, (asked) => request(asked, timeoutMs))) as typeof connection.request
  })
}

/** Ports whose connections send something else. */
export function withSends(ports: Ports, change: (message: Message) => Message): Ports {
  return withConnections(ports, (connection) => {
    const send = connection.send.bind(connection)
    connection.send = (message) => send(change(message))
  })
}

function wrapDisk(disk: Disk, change: (file: FileHandle) => Partial<FileHandle>): Disk {
  return {
    open: async (path, mode) => {
      const file = await disk.open(path, mode)
      return {
        read: (position, length) => file.read(position, length),
        write: (position, bytes) => file.write(position, bytes),
        truncate: (length) => file.truncate(length),
        reserve: (length) => file.reserve(length),
        size: () => file.size(),
        sync: () => file.sync(),
        close: () => file.close(),
        ...(path.includes('/wal/') ? change(file) : {}),
      }
    },
    readFile: (path) => disk.readFile(path),
    writeFileDurable: (path, content) => disk.writeFileDurable(path, content),
    list: (path) => disk.list(path),
    exists: (path) => disk.exists(path),
    makeDir: (path) => disk.makeDir(path),
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    syncDir: (path) => disk.syncDir(path),
    freeBytes: (path) => disk.freeBytes(path),
  }
}

export type HubOptions = Parameters<WalParts['createHub']>[0]
type Hub = ReturnType<WalParts['createHub']>

/** WAL parts whose walsender hub is changed after it is made. */
export function hubWith(change: (hub: Hub, options: HubOptions) => void): (wal: WalParts) => WalParts {
  return (wal) => ({
    ...wal,
    createHub: (options) => {
      const hub = wal.createHub(options)
      change(hub, options)
      return hub
    },
  })
}

/** Replaces statements on their way into the engine. */
export function rewriteSql(
  engine: SimEngine,
  pattern: RegExp,
  instead: string | ((text: string) => string),
): void {
  const rewritten = (text: string): string => (typeof instead === 'string' ? instead : instead(text))
  const submit = engine.submit.bind(engine)
  engine.submit = (request) => {
    const texts = frontendQueries(request.bytes)
    if (!texts.some((text) => pattern.test(text))) return submit(request)
    const bytes = Buffer.concat(texts.map((text) => queryBytes(pattern.test(text) ? rewritten(text) : text)))
    return submit({ ...request, bytes })
  }
}

/** An engine that goes on when what must succeed has failed. */
export function withFailuresLetPass(engine: SimEngine): SimEngine {
  const submit = engine.submit.bind(engine)
  engine.submit = (request) => submit({ ...request, mustSucceed: false })
  return engine
}

/** An engine that runs what belongs into a transaction although none is open. */
export function withTransactionsNotAskedFor(engine: SimEngine): SimEngine {
  const submit = engine.submit.bind(engine)
  engine.submit = (request) => submit({ ...request, inTransaction: false })
  return engine
}

/** Processes that count as ended when SIGKILL has been sent. */
export function withKillsBelieved(processes: Processes): Processes {
  const watched = (process: WatchedProcess): WatchedProcess => {
    let believe: (exit: ProcessExit) => void = () => undefined
    const exited = new Promise<ProcessExit>((resolve) => (believe = resolve))
    void process.exited.then(believe)
    return {
      pid: process.pid,
      exited,
      kill: (signal) => {
        process.kill(signal)
        believe({ code: null, signal })
      },
    }
  }
  return {
    spawn: async (script, args, log) => watched(await processes.spawn(script, args, log)),
    holderOf: (datadir) => processes.holderOf(datadir),
    adopt: (pid) => {
      const process = processes.adopt(pid)
      return process === undefined ? undefined : watched(process)
    },
  }
}

/** Says of these statements that their WAL ends there. */
export function withLsn(engine: SimEngine, pattern: RegExp, lsn: number): SimEngine {
  const submit = engine.submit.bind(engine)
  engine.submit = async (request) => {
    const result = await submit(request)
    return frontendQueries(request.bytes).some((text) => pattern.test(text)) ? { ...result, lsn } : result
  }
  return engine
}
