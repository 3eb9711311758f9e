/** Does the front door let clients in? Asked with a startup packet of PostgreSQL's protocol; no password is needed to know. */
import { connect } from 'node:net'

const STARTUP = 196_608

/** `ready`, or why not in the server's (or the system's) words. */
export type DoorAnswer = { readonly ready: true } | { readonly ready: false; readonly reason: string }

export function askFrontDoor(host: string, port: number, timeoutMs: number): Promise<DoorAnswer> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    let bytes = Buffer.alloc(0)
    const end = (answer: DoorAnswer): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(timeoutMs, () => end({ ready: false, reason: `no answer within ${timeoutMs} ms` }))
    socket.once('error', (error) => end({ ready: false, reason: error.message }))
    socket.once('close', () => resolve({ ready: false, reason: 'the connection was closed' }))
    socket.once('connect', () => socket.write(startupPacket()))
    socket.on('data', (part) => {
      bytes = Buffer.concat([bytes, part])
      if (bytes.length < 5) return
      // Anything but an error means that the server wants to know who we are: clients are let in.
      if (bytes.toString('latin1', 0, 1) !== 'E') end({ ready: true })
      else if (bytes.length >= 1 + bytes.readUInt32BE(1)) end(fromError(bytes.subarray(5)))
    })
  })
}

function startupPacket(): Buffer {
  const body = Buffer.from('user\0postgres\0database\0postgres\0application_name\0mirabelle\0\0')
  const head = Buffer.alloc(8)
  head.writeUInt32BE(8 + body.length, 0)
  head.writeUInt32BE(STARTUP, 4)
  return Buffer.concat([head, body])
}

function fromError(fields: Buffer): DoorAnswer {
  const found = new Map<string, string>()
  for (const field of fields.toString('utf8').split('\0')) found.set(field.slice(0, 1), field.slice(1))
  // 57P03: cannot connect now. Any other refusal comes from a server that is up.
  if (found.get('C') !== '57P03') return { ready: true }
  return { ready: false, reason: found.get('M') ?? 'the database system is starting up' }
}
