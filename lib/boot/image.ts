import type { GuestMemoryAccess } from '../memory/guest-memory';
import { shown } from '../util/check';
import { HaxError, invalidArgument } from '../util/errors';
import { isBootSector, loadBootSector } from './boot-sector';
import { isBzImage, loadBzImage } from './bzimage';
import { isElf } from './elf';
import { loadElfEntry } from './elf-entry';
import { loadFlat } from './flat';
import { refuseForeign } from './foreign';
import { imageError } from './image-source';
import type { ImageSource } from './image-source';
import { imageFormats, Loader } from './loader';
import type { BootOptions, BootResult, ImageFormat } from './loader';
import { findMultibootHeader, hasMultiboot2Header, loadMultiboot } from './multiboot';
import { hasPvhNote } from './pvh';

export interface LoadOptions extends BootOptions {
  /** `auto`, the default, recognises every format but `flat`; a format by name refuses a file that is of another. */
  readonly format?: ImageFormat | 'auto';
}

const loaders: Record<ImageFormat, (loader: Loader) => BootResult> = {
  bzimage: loadBzImage,
  multiboot: loadMultiboot,
  pvh: refusePvh,
  elf: loadElfEntry,
  bootsector: loadBootSector,
  flat: loadFlat,
};

/**
 * Loads an image into guest memory and returns the state in which its first processor starts.
 * Throws ERR_HAX_IMAGE for a file that is damaged, does not fit or is of no supported kind, ERR_HAX_UNSUPPORTED for a PVH or multiboot 2 kernel,
 * ERR_HAX_INVALID_ARGUMENT for options that do not go with the file; each message names the file or option and the remedy.
 */
export function loadImage(source: ImageSource, memory: GuestMemoryAccess, options: LoadOptions): BootResult {
  const { format = 'auto' } = options;
  if (format !== 'auto' && !imageFormats.includes(format)) {
    throw invalidArgument(`format must be auto, ${imageFormats.join(', ')}, not ${shown(format)}`);
  }
  const loader = new Loader(source, memory, options);
  if (source.size === 0) throw imageError(source, 'is empty; give an image that was built');
  return loaders[format === 'auto' ? recogniseImage(source) : format](loader);
}

/**
 * The format of a file that is not empty, looked for in this order: bzImage, multiboot 1, PVH note, ELF, boot sector.
 * Throws ERR_HAX_UNSUPPORTED for a kernel for multiboot 2 alone, ERR_HAX_IMAGE when it is none of them, of a format that has to be unpacked or cannot be run, or an ELF file with unsound headers.
 */
export function recogniseImage(source: ImageSource): ImageFormat {
  if (isBzImage(source)) return 'bzimage';
  const header = findMultibootHeader(source);
  if (header?.addresses) return 'multiboot';
  if (isElf(source)) return header ? 'multiboot' : recogniseElf(source);
  // Before what could be anywhere: an EFI build of a multiboot kernel still has its header, and a CD image has a boot sector.
  refuseForeign(source);
  if (header) return 'multiboot';
  if (isBootSector(source)) return 'bootsector';
  throw imageError(
    source,
    "is not a bzImage, a multiboot kernel, an ELF program or a boot sector; use format: 'flat' with load and mode for raw code",
  );
}

function recogniseElf(source: ImageSource): ImageFormat {
  if (hasPvhNote(source)) return 'pvh';
  if (!hasMultiboot2Header(source)) return 'elf';
  const hint = 'Give the kernel a multiboot 1 header too, or name the format elf, to enter a 32-bit ELF file directly.';
  throw new HaxError(
    'ERR_HAX_UNSUPPORTED',
    `${source.name} is a multiboot 2 kernel, which cannot be booted yet; give it a multiboot 1 header too`,
    { hint },
  );
}

function refusePvh({ source }: Loader): never {
  if (!isElf(source) || !hasPvhNote(source)) {
    throw imageError(source, 'has no PVH note; leave out format to have its format recognised');
  }
  const hint = 'Give the kernel as a bzImage (vmlinuz), or name the format elf, to enter a 32-bit ELF file directly.';
  throw new HaxError('ERR_HAX_UNSUPPORTED', `${source.name} is a PVH kernel, which cannot be booted yet; give it as a bzImage (vmlinuz)`, {
    hint,
  });
}
