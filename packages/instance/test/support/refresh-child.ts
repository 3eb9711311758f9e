/** A process with one mirror that refreshes its base, killed at a step of it: `refresh-child.ts <base> <peer port> <before|after> <step>`. */
import { join } from 'node:path'
import { asMirror } from './copy-kit.ts'
import { realPorts, startInstance } from './real-pair.ts'
import { REFRESH_SETTINGS } from './refresh-settings.ts'
import { tappedDisk } from './tapped-disk.ts'

const [base, port, moment, step] = process.argv.slice(2) as [string, string, string, string]
const disk = tappedDisk(join(base, 'dbid3'), (now, when) => {
  if (when === moment && now.startsWith(step)) process.kill(process.pid, 'SIGKILL')
})
const ports = { ...realPorts('dbid3'), disk }
const mirror = startInstance(base, 3, 'm', asMirror(Number(port)), 'incremental', ports, REFRESH_SETTINGS)
await mirror.started
process.stdout.write('started\n')
