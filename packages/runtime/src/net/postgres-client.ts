/**
 * A client of PostgreSQL's that has come to a port of the cluster protocol, as psql does for a segment whose port it knows from
 * gp_segment_configuration: it is told where clients are served. Without an answer it would wait for as long as a proof may take.
 */
import type { Socket } from 'node:net'

/** What a first packet of PostgreSQL's protocol says behind its length. */
const SSL_REQUEST = 80877103
const GSS_REQUEST = 80877104
const CANCEL_REQUEST = 80877102
const VERSION_3 = 3
const LONGEST = 10_000

/** Whether a connection begins as PostgreSQL's clients begin. No frame of ours does: a message is a map, and that is another byte. */
export function isPostgresClient(first: Buffer): boolean {
  if (first.length < 8 || first.readUInt32BE(0) > LONGEST) return false
  const code = first.readUInt32BE(4)
  return code >>> 16 === VERSION_3 || (code >= CANCEL_REQUEST && code <= GSS_REQUEST)
}

/** Refuses encryption, then says in PostgreSQL's words that nobody is served here. The connection ends; `done` is called once. */
export function turnAway(socket: Socket, done: () => void): void {
  const onData = (bytes: Buffer): void => {
    const code = bytes.length < 8 ? 0 : bytes.readUInt32BE(4)
    if (code === SSL_REQUEST || code === GSS_REQUEST) {
      socket.write('N')
      return
    }
    socket.off('data', onData)
    socket.end(REFUSAL, () => socket.destroy())
    done()
  }
  socket.on('data', onData)
}

const FIELDS = [
  ['S', 'FATAL'],
  ['V', 'FATAL'],
  ['C', '57P03'],
  ['M', 'this port is for the processes of the cluster'],
  [
    'H',
    'Connect to the coordinator: "mirabelle state -p" shows its port. There gp_dist_random(\'…\') reads relations of the segments.',
  ],
]
  .map(([field, text]) => `${field}${text}\0`)
  .join('')

/** An ErrorResponse. */
const REFUSAL = Buffer.concat([Buffer.from('E\0\0\0\0'), Buffer.from(`${FIELDS}\0`)])
REFUSAL.writeUInt32BE(REFUSAL.length - 1, 1)
