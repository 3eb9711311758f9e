import t from 'tap'
import { mkdtempSync, mkdirSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Assignment } from '@mirabelle/messages'
import { realDisk, realNetwork, silentLogger } from '@mirabelle/runtime'
import { canListen, emptyFolder, freeFolder, freePorts } from '../src/offer-place.ts'

const known = (datadir: string, port: number, sqlPort = 0) =>
  ({ datadir, sqlPort, listen: { addresses: ['127.0.0.1'], port } }) as unknown as Assignment
const network = realNetwork({ clusterKey: Buffer.alloc(32, 7), log: silentLogger })
const self = { clusterId: 'place', kind: 'agent', dbid: 0, content: -1, name: 'here' } as const
const isFree = (port: number) => canListen(network, { addresses: ['127.0.0.1'], port }, self)

t.test('a folder beside the others that is not there, whatever is left of earlier instances', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'mirabelle-place-'))
  t.teardown(() => realDisk.remove(dir))
  const others = [known(join(dir, 'primary0'), 1)]
  const at = (name: string) => freeFolder(realDisk, name, { agentDir: '/elsewhere', known: others })
  t.equal(await at('coordinator7'), join(dir, 'coordinator7'))
  mkdirSync(join(dir, 'coordinator7'))
  t.equal(await at('coordinator7'), join(dir, 'coordinator7-2'))
  t.equal(await freeFolder(realDisk, 'a', { agentDir: dir, known: [] }), join(dir, 'a'))
  await t.rejects(at('../outside'), { code: 'message.bad' })
  await t.rejects(at('a/b'), { code: 'message.bad' })
})

t.test('a folder that is asked for may be there, but nothing in it', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'mirabelle-place-'))
  t.teardown(() => realDisk.remove(dir))
  t.equal(await emptyFolder(realDisk, join(dir, 'new')), join(dir, 'new'))
  mkdirSync(join(dir, 'empty'))
  t.equal(await emptyFolder(realDisk, join(dir, 'empty')), join(dir, 'empty'))
  await t.rejects(emptyFolder(realDisk, dir), {
    code: 'datadir.foreign',
    message: `Segment directory '${dir}' exists but is not empty!`,
  })
  await t.rejects(emptyFolder(realDisk, 'relative'), { code: 'message.bad' })
})

t.test('a wanted port is given when nobody listens there, else one above all that are known', async (t) => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const taken = (server.address() as AddressInfo).port
  const [first, second] = await freePorts([taken, null], { isFree, known: [known('/a', 20_000, 20_010)] })
  t.ok((first as number) > 20_010, 'above the ports of the other instances')
  t.ok((second as number) > (first as number), 'no port twice')
  const [wanted, again] = await freePorts([first as number, first as number], { isFree, known: [] })
  t.equal(wanted, first, 'a free one is given as wanted')
  t.not(again, first)
})
