/** A process with one mirror in it, to be killed: `copy-child.ts <base> <dbid> <peer dbid> <peer port> <recovery>`. */
import type { Assignment } from '@mirabelle/messages'
import { startInstance } from './real-pair.ts'

const [base, dbid, peerDbid, port, recovery] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
]
const peer = { dbid: Number(peerDbid), port: Number(port) }
const mirror = startInstance(base, Number(dbid), 'm', peer, recovery as Assignment['recovery'])
await mirror.started
process.stdout.write('started\n')
