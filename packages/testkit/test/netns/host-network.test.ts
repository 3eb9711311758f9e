// Hosts of network namespaces: who reaches whom before, during and after cuts; and that nothing is left, however the run ends.
import t from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { waitFor } from '@mirabelle/testkit/cluster'
import { HostNetwork, whyNoNamespaces } from '../../src/netns/host-network.ts'
import { ip } from '../../src/netns/ip.ts'

const skip = (await whyNoNamespaces()) ?? false
const hosts = [
  { name: 'a', addresses: ['10.0.0.1', '10.1.0.1'] },
  { name: 'b', addresses: ['10.0.0.2', '10.1.0.2'] },
  { name: 'c', addresses: ['10.0.0.3', '10.1.0.3'] },
]

/** Tells what it hears as `from text`, and sends the lines of its input (`address text`) by UDP. */
const talker = `
  const socket = require('node:dgram').createSocket('udp4').on('message', (text, { address }) => console.log(address, String(text)))
  socket.bind(5000, () => console.log('ready'))
  require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
    const [to, text] = line.split(' ')
    socket.send(text, 5000, to, (error) => error && console.log('error', error.code))
  })`

/** Says something in a host; heard() waits for a line that another host has heard. */
async function talkIn(network: HostNetwork, host: string) {
  const child = network.spawn(host, [process.execPath, '-e', talker], { stdio: ['pipe', 'pipe', 'inherit'] })
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (more: string) => (text += more))
  const lines = () => text.split('\n')
  await waitFor(`the talker of ${host}`, () => lines().includes('ready'))
  return {
    say: (to: string, what: string) => child.stdin?.write(`${to} ${what}\n`),
    lines,
    heard: (line: string) => waitFor(`${host} hears ${line}`, () => lines().includes(line), 5_000),
  }
}

t.test('cuts are silent, in the wanted direction, on the wanted network, and healed', { skip }, async (t) => {
  const network = await HostNetwork.make(hosts)
  t.teardown(() => network.close())
  const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((host) => talkIn(network, host)))
  if (a === undefined || b === undefined || c === undefined) return
  a.say('10.0.0.2', 'before')
  await b.heard('10.0.0.1 before')

  await network.cutOneWay('a', 'b')
  for (const to of ['10.0.0.2', '10.1.0.2', '10.0.0.3']) a.say(to, 'one-way')
  b.say('10.0.0.1', 'back')
  await a.heard('10.0.0.2 back')
  await c.heard('10.0.0.1 one-way')

  await network.heal()
  await network.cutOff('b')
  for (const to of ['10.0.0.2', '10.1.0.2']) a.say(to, 'cut-off')
  b.say('10.0.0.1', 'cut-off')

  await network.heal()
  await network.cutOff('b', 'silent', 0)
  a.say('10.0.0.2', 'one-network')
  a.say('10.1.0.2', 'other-network')
  await b.heard('10.1.0.1 other-network')

  await network.heal()
  await network.cutOff('b', 'down')
  b.say('10.0.0.1', 'down')
  await b.heard('error ENETUNREACH')

  await network.heal()
  await network.cut('a', 'b')
  a.say('10.0.0.2', 'cut')
  b.say('10.0.0.1', 'cut')

  await network.heal()
  a.say('10.0.0.2', 'healed')
  b.say('10.0.0.1', 'healed')
  await b.heard('10.0.0.1 healed')
  await a.heard('10.0.0.2 healed')
  t.same(b.lines(), [
    'ready',
    '10.0.0.1 before',
    '10.1.0.1 other-network',
    'error ENETUNREACH',
    '10.0.0.1 healed',
    '',
  ])
  t.same(a.lines(), ['ready', '10.0.0.2 back', '10.0.0.2 healed', ''])
  t.equal((await network.pidsOf('a')).length, 1)
})

/** A process that makes a network with something in it, says its prefix, and waits. */
async function makerOf(t: { teardown: (end: () => void) => void }) {
  const modules = new URL('../../dist/netns/host-network.js', import.meta.url).href
  const program = `import(${JSON.stringify(modules)}).then(async ({ HostNetwork }) => {
    const network = await HostNetwork.make([{ name: 'a', addresses: ['10.0.0.1'] }])
    network.spawn('a', [process.execPath, '-e', 'console.log("up"); setInterval(() => {}, 1000)'], { stdio: ['ignore', 'pipe', 'inherit'] })
      .stdout.once('data', () => console.log(network.description.prefix))
    setInterval(() => {}, 1000) })`
  const maker = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => void maker.kill('SIGKILL'))
  const [prefix] = (await once(maker.stdout, 'data')) as [Buffer]
  return { maker, prefix: String(prefix).trim() }
}

const left = async (prefix: string) => (await ip(['netns', 'list'])).includes(prefix)

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const)
  t.test(`a run that is ended by ${signal} leaves nothing`, { skip }, async (t) => {
    const { maker, prefix } = await makerOf(t)
    t.ok(await left(prefix))
    maker.kill(signal)
    await waitFor('the clean up', async () => !(await left(prefix)), 20_000)
  })

t.test(
  'what a run has left that was killed with its reaper is removed by the next one',
  { skip },
  async (t) => {
    const { maker, prefix } = await makerOf(t)
    const reapers = reapersOf(prefix)
    t.equal(reapers.length, 1)
    for (const pid of reapers) process.kill(pid, 'SIGKILL')
    maker.kill('SIGKILL')
    await once(maker, 'close')
    t.ok(await left(prefix))
    const network = await HostNetwork.make([{ name: 'b', addresses: ['10.0.0.1'] }])
    t.notOk(await left(prefix))
    await network.close()
    t.notOk(await left(network.description.prefix))
  },
)

function reapersOf(prefix: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'latin1').split('\0').includes(prefix)
      } catch {
        return false // ended meanwhile
      }
    })
    .map(Number)
}
