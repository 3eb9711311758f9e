import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { cloneTemplate, createTemplate, readControlFile } from '@mirabelle/engine'
import { engineOn, temporaryFolder, testTemplate, value } from './support/kit.ts'

t.test('two creators at once make one template, and leave nothing else behind', async (t) => {
  const cacheDir = join(await temporaryFolder(t), 'cache')
  const options = { cacheDir, bootstrapSql: 'CREATE ROLE from_bootstrap' }
  const [first, second] = await Promise.all([createTemplate(options), createTemplate(options)])
  t.equal(first, second)
  t.equal((await readdir(cacheDir)).length, 1)
  t.equal((await readControlFile(join(first, 'pgdata'))).state, 'shut down')
  const folder = join(cacheDir, 'clone')
  await mkdir(folder)
  await cloneTemplate(first, folder)
  const engine = engineOn(t, folder)
  await engine.startPrimary()
  t.equal(await value(engine, "SELECT count(*) FROM pg_roles WHERE rolname = 'from_bootstrap'"), '1')
  t.equal(await value(engine, 'SELECT current_user'), 'postgres')
})

t.test('bootstrap SQL that fails is told, and no template appears', async (t) => {
  const cacheDir = join(await temporaryFolder(t), 'cache')
  await t.rejects(createTemplate({ cacheDir, bootstrapSql: 'SELEC' }), {
    code: 'ENGINE_REFUSED',
    message: /syntax error/,
  })
  t.same(await readdir(cacheDir), [])
})

t.test('a template is not cloned over something', async (t) => {
  const folder = await temporaryFolder(t)
  await mkdir(join(folder, 'pgdata'))
  await t.rejects(cloneTemplate(await testTemplate(), folder), {
    code: 'ENGINE_REFUSED',
    message: /exists already/,
  })
})
