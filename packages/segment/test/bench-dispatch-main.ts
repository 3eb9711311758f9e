/** Inserts/s through a mirrored segment, two processes, from a third one: `node --import=tsx packages/segment/test/bench-dispatch-main.ts`. */
import { fork } from 'node:child_process'
import { assignmentOf, control, Dispatcher, makeFolders, until } from './support/cluster-of-one.ts'
import type { Assignment } from '@mirabelle/messages'

const say = (line: string) => void process.stdout.write(`${line}\n`)
const folders = await makeFolders([2, 3])
const children: ReturnType<typeof fork>[] = []
const start = (assignment: Assignment): Promise<number> =>
  new Promise((resolve, reject) => {
    const child = fork(new URL('./support/segment-main.ts', import.meta.url), [JSON.stringify(assignment)], {
      execArgv: [
        '--import=tsx',
        ...(process.env['PROF'] === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir=/tmp/segbench']),
      ],
    })
    children.push(child)
    child.once('message', (message) => resolve((message as { port: number }).port))
    child.once('exit', (status) => reject(new Error(`child ended with ${status}`)))
  })
const primary = await start(assignmentOf(folders.base, 2, 'p', { dbid: 3, port: 1 }))
await start(assignmentOf(folders.base, 3, 'm', { dbid: 2, port: primary }))
const fts = await control(primary, 2)
await until(fts.probe, (answer) => answer.isInSync, 'in sync')
const coordinator = await Dispatcher.open(primary, 2)
await coordinator.sql('CREATE TABLE t (id int PRIMARY KEY, v text)')

// Parse once, then Bind + Execute + Sync, as a coordinator does.
const text = new TextEncoder()
const message = (type: string, body: Uint8Array): Uint8Array => {
  const out = new Uint8Array(body.length + 5)
  out[0] = type.charCodeAt(0)
  new DataView(out.buffer).setInt32(1, body.length + 4)
  out.set(body, 5)
  return out
}
const cat = (...parts: Uint8Array[]): Uint8Array => Buffer.concat(parts)
const sync = message('S', new Uint8Array(0))
await coordinator.send(cat(message('P', text.encode('ins\0INSERT INTO t VALUES ($1, $2)\0\0\0')), sync), 1)
const tail = cat(message('E', new Uint8Array([0, 0, 0, 0, 0])), sync)
let id = 0
const insert = (): Uint8Array => {
  const number = text.encode(String(id++))
  const body = new Uint8Array(5 + 2 + 2 + 4 + number.length + 4 + 20 + 2)
  body.set(text.encode('\0ins\0'), 0)
  const view = new DataView(body.buffer)
  view.setInt16(7, 2)
  view.setInt32(9, number.length)
  body.set(number, 13)
  view.setInt32(13 + number.length, 20)
  body.fill(120, 17 + number.length, 37 + number.length)
  return cat(message('B', body), tail)
}
const status = await fts.status()
for (const inFlight of [1, 4, 16, 64, 256]) {
  const ms = Number(process.env['MS'] ?? 3000)
  const frames = coordinator.frames
  const from = id
  const startedAt = performance.now()
  const end = startedAt + ms
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (performance.now() < end)
        if (!(await coordinator.send(insert(), 1)).ok) throw new Error('insert failed')
    }),
  )
  const seconds = (performance.now() - startedAt) / 1000
  say(
    `${inFlight} in flight: ${Math.round((id - from) / seconds)} inserts/s, ${((id - from) / (coordinator.frames - frames)).toFixed(1)} answers a frame`,
  )
}
const after = await fts.status()
say(`rss ${Math.round(status.rssBytes / 1e6)} → ${Math.round(after.rssBytes / 1e6)} MB`)
for (const child of children)
  child.removeAllListeners('exit').kill(process.env['PROF'] === undefined ? 'SIGKILL' : 'SIGTERM')
await folders.remove()
process.exit(0)
