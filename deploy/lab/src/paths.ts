import path from 'node:path'

const here = path.resolve(import.meta.dirname, '..')
export const repoRoot = path.resolve(here, '../..')

/** Sources that go into virtual machines: C of the kernel modules, and the image's scripts. Same place seen from src and dist. */
export const moduleSources = path.join(here, 'modules')
export const imageSources = path.join(here, 'image')

/** Downloads and builds, shared by every lab of the machine and by fresh clones when UPTIDE_LAB_CACHE names a place. */
export const cacheDir = (): string => path.resolve(process.env.UPTIDE_LAB_CACHE || path.join(repoRoot, '.cache/lab'))

/** Where a lab keeps its run files when nobody said otherwise. */
export const defaultLabDir = (): string => path.join(repoRoot, 'data/lab')
