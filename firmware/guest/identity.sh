#!/bin/busybox sh
# shellcheck shell=dash source=lib.sh
# What the disk says that it is: the answers of sg3_utils and of hdparm as text, the raw answers, and what the
# kernel made of them. Sends nothing that could change a drive.
. /lib.sh

node=/dev/$SG

shown sg_inq sg_inq "$node"
shown sg_vpd_supported sg_vpd -p sv "$node"
shown sg_vpd_all sg_vpd --all "$node"
raw vpd_00 i252 12 01 00 00 fc 00
for page in $(tail -c +5 /tmp/in | xxd -p -c1 | grep -v 00) 89 ff; do
    raw "vpd_$page" i252 12 01 "$page" 00 fc 00
done
shown sg_readcap_10 sg_readcap "$node"
shown sg_readcap_16 sg_readcap -l "$node"
shown sg_modes_6 sg_modes -6 -a "$node"
shown sg_modes_10 sg_modes -a "$node"
shown sg_luns sg_luns "$node"
shown sg_opcodes sg_opcodes "$node"
shown sg_turs sg_turs "$node"
shown sg_requests sg_requests "$node"
shown sg_logs sg_logs "$node"
shown sg_sat_identify sg_sat_identify "$node"
shown hdparm_identify hdparm -I "/dev/$DISK"
shown hdparm_native_max hdparm -N "/dev/$DISK"
shown hdparm_dco_identify hdparm --dco-identify "/dev/$DISK"

raw inquiry i96 12 00 00 00 60 00
raw mode_sense_6 i192 1a 00 3f 00 c0 00
raw mode_sense_6_dbd i192 1a 08 3f 00 c0 00
raw mode_sense_6_saved i192 1a 00 ff 00 c0 00
raw mode_sense_10 i192 5a 00 3f 00 00 00 00 00 c0 00
raw read_capacity_10 i8 25 00 00 00 00 00 00 00 00 00
raw read_capacity_16 i32 9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00
raw report_luns i64 a0 00 00 00 00 00 00 00 00 40 00 00
raw read_format_capacities i252 23 00 00 00 00 00 00 00 fc 00
raw request_sense i18 03 00 00 00 12 00
raw test_unit_ready n 00 00 00 00 00 00
raw ata_identify_16 i512 85 08 0e 00 00 00 01 00 00 00 00 00 00 40 ec 00
raw ata_identify_12 i512 a1 08 0e 00 01 00 00 00 40 ec 00 00

for attribute in ro removable size queue/logical_block_size queue/physical_block_size queue/discard_max_bytes \
    queue/write_zeroes_max_bytes queue/write_cache queue/rotational queue/zoned queue/max_sectors_kb; do
    echo "SYSFS $attribute=$(cat "/sys/block/$DISK/$attribute")"
done
for attribute in cache_type provisioning_mode zeroing_mode protection_type max_write_same_blocks; do
    echo "SYSFS scsi_disk/$attribute=$(cat /sys/block/"$DISK"/device/scsi_disk/*/"$attribute")"
done
exit 0
