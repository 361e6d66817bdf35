#!/bin/busybox sh
# shellcheck shell=dash source=lib.sh
# Tries to change the disk in every way that a Linux machine has: commands of every kind through the sg node,
# then the ordinary programs, first as the driver comes up and then with a driver that was told not to look for
# write protection and to believe in UNMAP, so that its own writes reach the wire.
#
#   daleel.attack_mib=N     the first N MiB are hashed before and after (default 4)
#   daleel.attack_limit=N   after so many seconds what is left is skipped, and says so (default 240)
#   daleel.phases=LIST      of raw, tools, system, forced (default: all)
#
# On a disk that can be written this destroys what is on it; the last line says whether it did:
# UNCHANGED or CHANGED, of the first N MiB, or UNREADABLE where they cannot all be read (any more).
. /lib.sh

LATE_MS=$(($(now) + $(word attack_limit 240) * 1000))
B=$(block_size)
mib=$(word attack_mib 4)

# The bytes a successful write would leave.
yes 'WRITTEN BY THE ATTACK SCRIPT' | head -c 65536 >/tmp/payload
W=/tmp/payload
Z=/tmp/zeros
head -c 65536 /dev/zero >$Z

# list FILE HEX...: a parameter list, from words of hexadecimal, filled up with zeros to 512 bytes.
list() {
    f=$1
    shift
    {
        echo "$@" | xxd -r -p
        head -c 512 /dev/zero
    } | head -c 512 >"$f"
}

first_mib() {
    echo 3 >/proc/sys/vm/drop_caches
    sum=$({
        timeout 60 /usr/bin/dd "if=/dev/$DISK" bs=1M count="$mib" iflag=direct 2>/dev/null
        echo $? >/tmp/exit
    } | sha256sum | cut -d' ' -f1)
    [ "$(cat /tmp/exit)" -eq 0 ] && echo "$sum" || echo unreadable
}

# Lines of "name data cdb", as raw takes them.
each() {
    while read -r line; do
        case $line in '' | '#'*) continue ;; esac
        # shellcheck disable=SC2086
        raw $line
    done
}

scsi_writes() {
    # LBA 8, one block; WRITE SAME over 8 blocks.
    each <<END
write_6 o$B:$W 0a 00 00 08 01 00
write_10 o$B:$W 2a 00 00 00 00 08 00 00 01 00
write_10_fua o$B:$W 2a 08 00 00 00 08 00 00 01 00
write_10_64k o65536:$W 2a 00 00 00 00 08 00 $(be $((65536 / B)) 2) 00
write_10_beyond o$B:$W 2a 00 ff ff ff f0 00 00 01 00
write_10_none n 2a 00 00 00 00 08 00 00 00 00
write_10_as_read i$B 2a 00 00 00 00 08 00 00 01 00
write_10_no_data n 2a 00 00 00 00 08 00 00 01 00
write_12 o$B:$W aa 00 00 00 00 08 00 00 00 01 00 00
write_16 o$B:$W 8a 00 00 00 00 00 00 00 00 08 00 00 00 01 00 00
write_verify_10 o$B:$W 2e 00 00 00 00 08 00 00 01 00
write_verify_12 o$B:$W ae 00 00 00 00 08 00 00 00 01 00 00
write_verify_16 o$B:$W 8e 00 00 00 00 00 00 00 00 08 00 00 00 01 00 00
write_same_10 o$B:$W 41 00 00 00 00 08 00 00 08 00
write_same_10_unmap o$B:$Z 41 08 00 00 00 08 00 00 08 00
write_same_10_lbdata o$B:$W 41 02 00 00 00 08 00 00 08 00
write_same_16 o$B:$W 93 00 00 00 00 00 00 00 00 08 00 00 00 08 00 00
write_same_16_unmap o$B:$Z 93 08 00 00 00 00 00 00 00 08 00 00 00 08 00 00
write_same_16_ndob n 93 01 00 00 00 00 00 00 00 08 00 00 00 08 00 00
write_same_16_ndob_unmap n 93 09 00 00 00 00 00 00 00 08 00 00 00 08 00 00
write_same_16_anchor o$B:$Z 93 18 00 00 00 00 00 00 00 08 00 00 00 08 00 00
unmap o24:/tmp/unmap 42 00 00 00 00 00 00 00 18 00
unmap_anchor o24:/tmp/unmap 42 01 00 00 00 00 00 00 18 00
compare_and_write o$((2 * B)):$W 89 00 00 00 00 00 00 00 00 08 00 00 00 01 00 00
orwrite_16 o$B:$W 8b 00 00 00 00 00 00 00 00 08 00 00 00 01 00 00
write_stream_16 o$B:$W 9a 00 00 00 00 00 00 00 00 08 00 00 00 01 00 00
write_atomic_16 o$B:$W 9c 00 00 00 00 00 00 00 00 08 00 00 00 01 00 00
write_long_10 o$((B + 40)):$W 3f 00 00 00 00 08 00 $(be $((B + 40)) 2) 00
write_long_10_uncorrectable n 3f 40 00 00 00 08 00 00 00 00
write_32 o$B:$W 7f 00 00 00 00 00 00 18 00 0b 00 00 00 00 00 00
xdwrite_10 o$B:$W 50 00 00 00 00 08 00 00 01 00
xpwrite_10 o$B:$W 51 00 00 00 00 08 00 00 01 00
xdwriteread_10 o$B:$W 53 00 00 00 00 08 00 00 01 00
xdwrite_16 o$B:$W 80 00 00 00 00 00 00 00 00 08 00 00 00 01 00 00
update_block o$B:$W 3d 00 00 00 00 08 00 00 00 00
copy_and_verify o64:$Z 3a 00 00 00 00 40 00 00 00 00
END
}

scsi_destructive() {
    each <<END
format_unit n 04 00 00 00 00 00
format_unit_default n 04 08 00 00 00 00
format_unit_list o4:/tmp/format 04 10 00 00 00 00
format_with_preset n 38 00 00 00 00 00 00 00 00 00
sanitize_overwrite o$((4 + B)):/tmp/overwrite 48 01 00 00 00 00 00 $(be $((4 + B)) 2) 00
sanitize_block_erase n 48 02 00 00 00 00 00 00 00 00
sanitize_crypto_erase n 48 03 00 00 00 00 00 00 00 00
sanitize_block_erase_ause n 48 a2 00 00 00 00 00 00 00 00
sanitize_exit_failure n 48 1f 00 00 00 00 00 00 00 00
erase_6 n 19 01 00 00 00 00
erase_10 n 2c 04 00 00 00 00 00 00 00 00
erase_12 n ac 04 00 00 00 00 00 00 00 00 00 00
zbc_reset_write_pointer n 94 04 00 00 00 00 00 00 00 00 00 00 00 00 01 00
zbc_finish_zone n 94 02 00 00 00 00 00 00 00 00 00 00 00 00 01 00
zbc_in_zone_activate i64 95 08 00 00 00 00 00 00 00 00 00 00 00 40 00 00
reassign_blocks o8:/tmp/reassign 07 00 00 00 00 00
rezero_unit n 01 00 00 00 00 00
close_track n 5b 00 02 00 00 00 00 00 00 00
END
}

scsi_settings() {
    each <<END
mode_select_6 o24:/tmp/select6 15 10 00 00 18 00
mode_select_6_save o24:/tmp/select6 15 11 00 00 18 00
mode_select_6_block_descriptor o12:/tmp/select6bd 15 10 00 00 0c 00
mode_select_6_block_descriptor_back o12:/tmp/select6back 15 10 00 00 0c 00
mode_select_6_none n 15 10 00 00 00 00
mode_select_10 o28:/tmp/select10 55 10 00 00 00 00 00 00 1c 00
mode_select_10_save o28:/tmp/select10 55 11 00 00 00 00 00 00 1c 00
log_select_reset n 4c 02 c0 00 00 00 00 00 00 00
log_select o16:$Z 4c 01 40 00 00 00 00 00 10 00
log_sense_save i252 4d 01 40 00 00 00 00 00 fc 00
send_diagnostic_self_test n 1d 04 00 00 00 00
send_diagnostic_background n 1d 20 00 00 00 00
send_diagnostic_page o16:$Z 1d 10 00 00 10 00
write_buffer_data o512:$W 3b 02 00 00 00 00 00 02 00 00
write_buffer_microcode_save o512:$W 3b 05 00 00 00 00 00 02 00 00
write_buffer_activate n 3b 0f 00 00 00 00 00 00 00 00
write_buffer_16 o512:$W 96 05 00 00 00 00 00 00 00 00 00 00 02 00 00 00
read_buffer_vendor i64 3c 01 00 00 00 00 00 00 40 00
persistent_reserve_out_register o24:/tmp/pr 5f 00 00 00 00 00 00 00 18 00
persistent_reserve_out_aptpl o24:/tmp/praptpl 5f 06 00 00 00 00 00 00 18 00
persistent_reserve_out_clear o24:/tmp/pr 5f 03 00 00 00 00 00 00 18 00
reserve_6 n 16 00 00 00 00 00
release_6 n 17 00 00 00 00 00
reserve_10 n 56 00 00 00 00 00 00 00 00 00
extended_copy o64:$Z 83 00 00 00 00 00 00 00 00 00 00 00 00 40 00 00
populate_token o32:$Z 83 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00
write_using_token o512:$Z 83 11 00 00 00 00 00 00 00 00 00 00 02 00 00 00
access_control_out o24:$Z 87 00 00 00 00 00 00 00 00 00 00 00 00 18 00 00
write_attribute o24:$Z 8d 00 00 00 00 00 00 00 00 00 00 00 00 18 00 00
security_protocol_out_tcg o512:$Z b5 01 00 01 00 00 00 00 02 00 00 00
security_protocol_out_ata_set_password o36:/tmp/pw b5 ef 00 01 00 00 00 00 00 24 00 00
security_protocol_out_ata_erase_prepare n b5 ef 00 03 00 00 00 00 00 00 00 00
security_protocol_out_ata_erase_unit o36:/tmp/pw b5 ef 00 04 00 00 00 00 00 24 00 00
service_in_14_write_scattered_stream i32 9e 14 00 00 00 00 00 00 00 00 00 00 00 20 00 00
service_in_15_remove_element_and_modify_zones n 9e 15 00 00 00 00 00 00 00 00 00 00 00 00 00 00
service_in_18_remove_element n 9e 18 00 00 00 00 00 00 00 00 00 00 00 00 00 00
service_in_19_restore_elements n 9e 19 00 00 00 00 00 00 00 00 00 00 00 00 00 00
service_in_1a_restore_elements_and_zones n 9e 1a 00 00 00 00 00 00 00 00 00 00 00 00 00 00
service_out_16_write_long n 9f 11 00 00 00 00 00 00 00 08 00 00 00 00 40 00
service_out_16_write_scattered o512:$W 9f 12 00 00 00 00 00 00 00 00 00 00 00 01 00 00
service_out_12 o64:$W a9 1f 00 00 00 00 00 00 00 40 00 00
service_bidirectional o64:$W 9d 00 00 00 00 00 00 00 00 00 00 00 00 40 00 00
maintenance_out_identifying_information o16:$W a4 06 00 00 00 00 00 00 00 10 00 00
maintenance_out_timestamp o12:$Z a4 0f 00 00 00 00 00 00 00 0c 00 00
maintenance_out_target_port_groups o8:$Z a4 0a 00 00 00 00 00 00 00 08 00 00
change_definition n 40 00 00 00 00 00 00 00 00 00
set_limits_10 n 33 00 00 00 00 00 00 00 00 00
set_limits_12 n b3 00 00 00 00 00 00 00 00 00 00 00
redundancy_group_out o16:$Z bb 00 00 00 00 00 00 00 00 10 00 00
spare_out o16:$Z bd 00 00 00 00 00 00 00 00 10 00 00
volume_set_out o16:$Z bf 00 00 00 00 00 00 00 00 10 00 00
synchronize_cache_10 n 35 00 00 00 00 00 00 00 00 00
synchronize_cache_16 n 91 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
prevent_removal n 1e 00 00 00 01 00
allow_removal n 1e 00 00 00 00 00
END
}

# 85h: protocol and extend, flags, features, count, LBA (31:24 7:0 39:32 15:8 47:40 23:16), device, command.
ata_16() {
    each <<END
ata16_write_dma_ext o512:$W 85 0d 06 00 00 00 01 00 08 00 00 00 00 40 35 00
ata16_write_dma_ext_as_in i512 85 0d 0e 00 00 00 01 00 08 00 00 00 00 40 35 00
ata16_write_dma_ext_no_length o512:$W 85 0d 04 00 00 00 01 00 08 00 00 00 00 40 35 00
ata16_write_dma_fua_ext o512:$W 85 0d 06 00 00 00 01 00 08 00 00 00 00 40 3d 00
ata16_write_dma o512:$W 85 0c 06 00 00 00 01 00 08 00 00 00 00 40 ca 00
ata16_write_sectors o512:$W 85 0a 06 00 00 00 01 00 08 00 00 00 00 40 30 00
ata16_write_sectors_ext o512:$W 85 0b 06 00 00 00 01 00 08 00 00 00 00 40 34 00
ata16_write_multiple_ext o512:$W 85 0b 06 00 00 00 01 00 08 00 00 00 00 40 39 00
ata16_write_fpdma_queued o512:$W 85 19 06 00 01 00 00 00 08 00 00 00 00 40 61 00
ata16_write_uncorrectable_ext n 85 07 00 00 55 00 01 00 08 00 00 00 00 40 45 00
ata16_write_log_ext o512:$W 85 0b 06 00 00 00 01 00 80 00 00 00 00 40 3f 00
ata16_write_log_dma_ext o512:$W 85 0d 06 00 00 00 01 00 80 00 00 00 00 40 57 00
ata16_data_set_management_trim o512:/tmp/trim 85 0d 06 00 01 00 01 00 00 00 00 00 00 40 06 00
ata16_zero_ext n 85 07 00 00 00 00 01 00 08 00 00 00 00 40 44 00
ata16_read_native_max_ext n 85 07 20 00 00 00 00 00 00 00 00 00 00 40 27 00
ata16_set_max_address_ext n 85 07 20 00 00 00 01 00 00 00 10 00 00 40 37 00
ata16_set_max_address n 85 06 20 00 00 00 01 00 00 00 10 00 00 40 f9 00
ata16_set_max_password o512:$W 85 0a 06 00 01 00 01 00 00 00 00 00 00 40 f9 00
ata16_accessible_max_address n 85 07 20 00 01 00 00 00 00 00 10 00 00 40 78 00
ata16_security_set_password o512:/tmp/ataset 85 0a 06 00 00 00 01 00 00 00 00 00 00 40 f1 00
ata16_security_unlock o512:/tmp/ataset 85 0a 06 00 00 00 01 00 00 00 00 00 00 40 f2 00
ata16_security_erase_prepare n 85 06 00 00 00 00 00 00 00 00 00 00 00 40 f3 00
ata16_security_erase_unit o512:/tmp/ataset 85 0a 06 00 00 00 01 00 00 00 00 00 00 40 f4 00
ata16_security_freeze_lock n 85 06 00 00 00 00 00 00 00 00 00 00 00 40 f5 00
ata16_security_disable_password o512:/tmp/ataset 85 0a 06 00 00 00 01 00 00 00 00 00 00 40 f6 00
ata16_dco_restore n 85 06 00 00 c0 00 00 00 00 00 00 00 00 40 b1 00
ata16_dco_freeze_lock n 85 06 00 00 c1 00 00 00 00 00 00 00 00 40 b1 00
ata16_dco_set o512:$Z 85 0a 06 00 c3 00 01 00 00 00 00 00 00 40 b1 00
ata16_sanitize_crypto_scramble n 85 07 00 00 11 00 00 43 70 00 79 00 72 40 b4 00
ata16_sanitize_block_erase n 85 07 00 00 12 00 00 42 72 00 45 00 6b 40 b4 00
ata16_sanitize_overwrite n 85 07 00 00 14 00 01 4f 00 00 57 00 00 40 b4 00
ata16_sanitize_freeze_lock n 85 07 00 00 20 00 00 46 4b 00 4c 00 72 40 b4 00
ata16_set_features_write_cache_off n 85 06 00 00 82 00 00 00 00 00 00 00 00 40 ef 00
ata16_set_features_write_cache_on n 85 06 00 00 02 00 00 00 00 00 00 00 00 40 ef 00
ata16_set_features_apm n 85 06 00 00 05 00 80 00 00 00 00 00 00 40 ef 00
ata16_smart_write_log o512:$W 85 0a 06 00 d6 00 01 00 80 00 4f 00 c2 40 b0 00
ata16_smart_disable n 85 06 00 00 d9 00 00 00 00 00 4f 00 c2 40 b0 00
ata16_smart_enable n 85 06 00 00 d8 00 00 00 00 00 4f 00 c2 40 b0 00
ata16_smart_autosave n 85 06 00 00 d2 00 f1 00 00 00 4f 00 c2 40 b0 00
ata16_smart_offline n 85 06 00 00 d4 00 01 00 01 00 4f 00 c2 40 b0 00
ata16_download_microcode o512:$W 85 0a 06 00 07 00 01 00 00 00 00 00 00 40 92 00
ata16_download_microcode_dma o512:$W 85 0c 06 00 07 00 01 00 00 00 00 00 00 40 93 00
ata16_write_buffer o512:$W 85 0a 06 00 00 00 01 00 00 00 00 00 00 40 e8 00
ata16_trusted_send o512:$Z 85 0a 06 00 01 00 01 00 00 00 00 00 00 40 5e 00
ata16_zac_reset_write_pointer n 85 07 00 00 04 00 01 00 00 00 00 00 00 40 9f 00
ata16_cfa_erase n 85 06 00 00 00 00 01 00 08 00 00 00 00 40 c0 00
ata16_format_track o512:$Z 85 0a 06 00 00 00 01 00 08 00 00 00 00 40 50 00
ata16_sleep n 85 06 00 00 00 00 00 00 00 00 00 00 00 40 e6 00
ata16_device_reset n 85 12 00 00 00 00 00 00 00 00 00 00 00 40 08 00
ata16_hard_reset n 85 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
ata16_soft_reset n 85 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00
ata16_identify_as_out o512:$W 85 0a 06 00 00 00 01 00 00 00 00 00 00 40 ec 00
END
}

# A1h: protocol, flags, features, count, LBA (three bytes), device, command.
ata_12() {
    each <<END
ata12_write_dma o512:$W a1 0c 06 00 01 08 00 00 40 ca 00 00
ata12_write_dma_ext o512:$W a1 0d 06 00 01 08 00 00 40 35 00 00
ata12_write_sectors o512:$W a1 0a 06 00 01 08 00 00 40 30 00 00
ata12_write_multiple o512:$W a1 0a 06 00 01 08 00 00 40 c5 00 00
ata12_data_set_management_trim o512:/tmp/trim a1 0c 06 01 01 00 00 00 40 06 00 00
ata12_set_max_address n a1 06 20 00 01 00 10 00 40 f9 00 00
ata12_security_set_password o512:/tmp/ataset a1 0a 06 00 01 00 00 00 40 f1 00 00
ata12_security_erase_prepare n a1 06 00 00 00 00 00 00 40 f3 00 00
ata12_security_erase_unit o512:/tmp/ataset a1 0a 06 00 01 00 00 00 40 f4 00 00
ata12_dco_restore n a1 06 00 c0 00 00 00 00 40 b1 00 00
ata12_sanitize_block_erase n a1 06 00 12 00 42 72 45 40 b4 00 00
ata12_set_features n a1 06 00 82 00 00 00 00 40 ef 00 00
ata12_smart_write_log o512:$W a1 0a 06 d6 01 80 4f c2 40 b0 00 00
ata12_download_microcode o512:$W a1 0a 06 07 01 00 00 00 40 92 00 00
ata12_format_track o512:$Z a1 0a 06 00 01 08 00 00 40 50 00 00
END
}

# What makers of USB bridges use to reach behind their own translation; opcode for opcode, and in both directions.
vendor() {
    each <<END
vendor_24_cypress_write o512:$W 24 24 00 be 01 00 00 01 08 00 00 40 30 00 00 00
vendor_24_cypress_identify i512 24 24 00 be 01 00 00 01 00 00 00 40 ec 00 00 00
vendor_d1_seagate n d1 00 00 00 00 00 00 00 00 00
vendor_d2_seagate o16:$Z d2 00 00 00 00 00 00 00 10 00
vendor_d7_prolific i16 d7 00 00 00 00 00 00 10 67 7b 00 00
vendor_d8_prolific_write o512:$W d8 04 00 00 06 7b 00 00 02 00 00 01 08 00 40 30
vendor_d8_prolific_identify i512 d8 15 00 00 06 7b 00 00 02 00 00 01 00 00 40 ec
vendor_df_jmicron_write o512:$W df 00 00 02 00 00 01 08 00 00 a0 30
vendor_df_jmicron_identify i512 df 10 00 02 00 00 01 00 00 00 a0 ec
vendor_e0_asmedia_configuration_read i64 e0 00 00 00 00 00 00 00 40 00
vendor_e1_asmedia_configuration_write o64:$W e1 50 00 00 00 00 00 00 40 00
vendor_e2_flash_read i64 e2 00 00 00 00 00 00 00 40 00
vendor_e2_register_write o16:$Z e2 01 00 00 00 00 00 00 10 00
vendor_e3_asmedia_firmware_write o512:$W e3 50 00 00 00 00 02 00 00 00
vendor_e4_xdata_read i64 e4 40 00 00 00 00
vendor_e5_xdata_write n e5 ff 50 00 00 00
vendor_e6_asmedia_nvme_admin i512 e6 06 00 01 00 00 00 00 00 00 00 00 00 00 00 00
vendor_e6_asmedia_nvme_out o512:$W e6 01 00 01 00 00 00 00 00 00 00 00 00 00 00 00
vendor_e7 n e7 00 00 00 00 00 00 00 00 00
vendor_e8_asmedia_reset n e8 00 00 00 00 00
vendor_f8_sunplus_preset n f8 00 23 00 00 00 00 00 00 00 40 00
vendor_f8_sunplus_write o512:$W f8 00 22 11 01 00 01 08 00 00 a0 30
vendor_f8_sunplus_identify i512 f8 00 22 10 01 00 01 00 00 00 a0 ec
vendor_a1_jmicron_nvme o512:$W a1 80 00 00 02 00 00 00 00 00 00 00
vendor_c0 n c0 00 00 00 00 00 00 00 00 00
vendor_ff o512:$W ff 00 00 00 00 00 00 02 00 00
END
}

# Last, for a real drive may then be at rest.
stop_and_reset() {
    each <<END
start_stop_stop n 1b 00 00 00 00 00
start_stop_start n 1b 00 00 00 01 00
start_stop_eject n 1b 00 00 00 02 00
start_stop_load n 1b 00 00 00 03 00
start_stop_standby n 1b 00 00 00 30 00
start_stop_active n 1b 00 00 00 10 00
END
    prog sg_reset_device sg_reset -d "/dev/$SG"
    raw after_reset_test_unit_ready n 00 00 00 00 00 00
    raw after_reset_mode_sense i192 1a 00 3f 00 c0 00
    raw after_reset_write_10 "o$B:$W" 2a 00 00 00 00 08 00 00 01 00
}

phase_raw() {
    list /tmp/unmap 0016 0010 00000000 0000000000000008 00000008 00000000
    list /tmp/format 00 00 0000
    { printf '\001\000' && be "$B" 2 | xxd -r -p && head -c "$B" $W; } >/tmp/overwrite
    list /tmp/reassign 0000 0004 00000008
    list /tmp/select6 00000000 0812 0000000000000000000000000000000000 00
    list /tmp/select6bd 00000008 00000000 00000400
    # shellcheck disable=SC2046
    list /tmp/select6back 00000008 00000000 00 $(be "$B" 3)
    list /tmp/select10 0000000000000000 0812 0000000000000000000000000000000000 00
    list /tmp/pr 0000000000000000 1122334455667788
    list /tmp/praptpl 0000000000000000 1122334455667788 00000000 01
    list /tmp/pw 0000 70617373776f7264
    list /tmp/ataset 0000 70617373776f7264
    list /tmp/trim 0800000000000800
    scsi_writes
    scsi_settings
    ata_16
    ata_12
    vendor
    scsi_destructive
    stop_and_reset
}

# The write commands of sg3_utils: what its authors, and not this script, think the bytes are.
phase_tools() {
    n=/dev/$SG
    prog sg_dd_write sg_dd if=$W of="$n" bs="$B" seek=8 count=8
    prog sg_dd_write_16 sg_dd if=$W of="$n" bs="$B" seek=8 count=8 cdbsz=16
    prog sg_write_same sg_write_same --16 --lba=8 --num=8 --in=$W --xferlen="$B" "$n"
    prog sg_write_same_unmap sg_write_same --16 --unmap --lba=8 --num=8 "$n"
    prog sg_write_same_ndob sg_write_same --16 --ndob --lba=8 --num=8 "$n"
    prog sg_unmap sg_unmap --lba=8 --num=8 --force "$n"
    prog sg_write_verify sg_write_verify --lba=8 --num=1 --in=$W --ilen="$B" "$n"
    prog sg_write_x_atomic sg_write_x --atomic=0 --in=$W --lba=8 --num=1 "$n"
    prog sg_compare_and_write sg_compare_and_write --in=$W --lba=8 --num=1 "$n"
    prog sg_write_long sg_write_long --lba=8 --wr_uncor "$n"
    prog sg_write_buffer sg_write_buffer --mode=dmc_save --in=$W --length=512 "$n"
    prog sg_reassign sg_reassign --address=8 "$n"
    prog sg_wr_mode sg_wr_mode --page=8 --contents=08,12,00,00,00,00,00,00,00,00,00,00,00,00,00,00,00,00,00,00 --save "$n"
    prog sg_wr_mode_current sg_wr_mode --page=8 --contents=08,12,00,00,00,00,00,00,00,00,00,00,00,00,00,00,00,00,00,00 "$n"
    prog sg_persist sg_persist --out --register --param-sark=1122 "$n"
    prog sg_senddiag sg_senddiag --test "$n"
    prog sg_ident sh -c "echo attack | sg_ident --set $n"
    prog sg_timestamp sg_timestamp --milliseconds=1 "$n"
    prog sg_stpg sg_stpg --active "$n"
    prog sg_sat_set_features sg_sat_set_features --feature=0x82 "$n"
    prog sg_zone_finish sg_zone --finish --zone=0 "$n"
    prog sg_reset_wp sg_reset_wp --zone=0 "$n"
    prog sg_logs_reset sg_logs --reset "$n"
    # Its own choice is page 1, without which it gives up.
    prog sg_format sg_format --format --quick --early --mode=8 "$n"
    prog sg_sanitize_block sg_sanitize --block --quick --early "$n"
    prog sg_sanitize_overwrite sg_sanitize --overwrite --zero --quick --early "$n"
    prog sg_start_stop sg_start --stop "$n"
    prog sg_start_start sg_start --start "$n"
    prog sg_start_eject sg_start --eject "$n"
    prog sg_start_load sg_start --load "$n"
}

# Mounts of what may be a file system with a journal to be replayed: the first partition, or the whole disk.
mounts() {
    part=/dev/$DISK
    [ ! -b "/dev/${DISK}1" ] || part=/dev/${DISK}1
    for options in ro ro,noload rw; do
        name=${p}_mount_$(echo $options | tr , _)
        prog "$name" mount -t ext4 -o "$options" "$part" /mnt || continue
        # shellcheck disable=SC2012
        echo "NOTE $name $(grep ' /mnt ' /proc/mounts | quoted) files=\"$(ls /mnt | quoted)\""
        case $options in rw) prog "${p}_file" sh -c "cp $W /mnt/attack && sync /mnt/attack" ;; esac
        prog "${p}_umount" umount /mnt
    done
    prog "${p}_e2fsck" e2fsck -fy "$part"
}

# What users do, with the names of all checks beginning with $p.
system() {
    d=/dev/$DISK
    prog "${p}_setrw" blockdev --setrw "$d"
    echo "SYSFS $p ro=$(cat "/sys/block/$DISK/ro") getro=$(blockdev --getro "$d")"
    mounts
    prog "${p}_dd" dd if=$W of="$d" bs=4k seek=2 count=4
    prog "${p}_flushbufs" blockdev --flushbufs "$d"
    prog "${p}_dd_direct" dd if=$W of="$d" bs=4k seek=8 count=4 oflag=direct
    prog "${p}_dd_fsync" dd if=$W of="$d" bs=4k seek=16 count=4 conv=fsync
    prog "${p}_sfdisk" sh -c "echo '2048,,83' | /usr/bin/sfdisk --force --no-reread --wipe always $d"
    # A small one, for a slow device that drains what it refuses.
    prog "${p}_mkfs" mkfs.ext4 -F -q -O ^has_journal -N 64 "$d"
    prog "${p}_wipefs" wipefs -a -f "$d"
    prog "${p}_blkdiscard" blkdiscard -f -o 1048576 -l 1048576 "$d"
    prog "${p}_blkdiscard_secure" blkdiscard -f -s -o 1048576 -l 1048576 "$d"
    prog "${p}_blkdiscard_zero" blkdiscard -f -z -o 1048576 -l 65536 "$d"
}

# hdparm reaches the drive by ATA PASS-THROUGH and is not stopped by what the driver believes.
ata_programs() {
    d=/dev/$DISK
    yes=--yes-i-know-what-i-am-doing
    please=--please-destroy-my-drive
    prog hdparm_write_cache_off hdparm -W0 "$d"
    prog hdparm_write_cache_on hdparm -W1 "$d"
    prog hdparm_apm hdparm -B 128 "$d"
    prog hdparm_native_max hdparm $yes -N p1000 "$d"
    prog hdparm_write_sector hdparm $yes --write-sector 8 "$d"
    prog hdparm_make_bad_sector hdparm $yes --make-bad-sector 8 "$d"
    prog hdparm_trim hdparm $please --trim-sector-ranges 8:8 "$d"
    prog hdparm_security_freeze hdparm --security-freeze "$d"
    prog hdparm_security_set_pass hdparm $yes --user-master u --security-set-pass p "$d"
    prog hdparm_security_unlock hdparm $yes --user-master u --security-unlock p "$d"
    prog hdparm_security_erase hdparm $yes --user-master u --security-erase p "$d"
    prog hdparm_security_disable hdparm $yes --user-master u --security-disable p "$d"
    prog hdparm_dco_freeze hdparm --dco-freeze "$d"
    prog hdparm_dco_restore hdparm $yes --dco-restore "$d"
    prog hdparm_sanitize hdparm $yes --sanitize-block-erase "$d"
    prog hdparm_sanitize_crypto hdparm $yes --sanitize-crypto-scramble "$d"
    prog hdparm_fwdownload hdparm $yes $please --fwdownload $W "$d"
    prog hdparm_standby hdparm -y "$d"
}

phase_system() {
    p=system
    system
    ata_programs
}

# Binds the driver anew with the quirk "w": it then takes the disk for one that can be written.
rebind() {
    interface=$(readlink -f "/sys/block/$DISK/device")
    while [ ! -e "$interface/bInterfaceNumber" ] && [ "$interface" != / ]; do interface=$(dirname "$interface"); done
    usb=$(dirname "$interface")
    echo "$(cat "$usb/idVendor"):$(cat "$usb/idProduct"):w" >/sys/module/usb_storage/parameters/quirks
    driver=$(readlink -f "$interface/driver")
    echo "${interface##*/}" >"$driver/unbind"
    echo "${interface##*/}" >"$driver/bind"
    wait_for_disk 20 || {
        echo "CHECK name=forced_rebind kind=prog status=failed exit=1 out=\"$WHY\""
        return 1
    }
    echo "CHECK name=forced_rebind kind=prog status=ok exit=0 out=\"ro=$(cat "/sys/block/$DISK/ro")\""
    print_disk
}

# The kernel's own UNMAP, WRITE SAME and MODE SELECT: it sends them when it is told that the drive has them.
forced_commands() {
    disk=$(echo /sys/block/"$DISK"/device/scsi_disk/*)
    for mode in unmap writesame_16 writesame_10; do
        echo $mode >"$disk/provisioning_mode" 2>/dev/null
        prog "forced_discard_$mode" blkdiscard -f -o 1048576 -l 65536 "/dev/$DISK"
    done
    echo 2048 >"$disk/max_write_same_blocks" 2>/dev/null
    echo writesame >"$disk/zeroing_mode" 2>/dev/null
    prog forced_zero_writesame blkdiscard -f -z -o 1048576 -l 65536 "/dev/$DISK"
    # blkdiscard wants its zeros written; a hole may be unmapped.
    for mode in writesame_16_unmap writesame_10_unmap; do
        echo $mode >"$disk/zeroing_mode" 2>/dev/null
        prog "forced_zero_$mode" fallocate --punch-hole -o 1048576 -l 65536 "/dev/$DISK"
    done
    for type in 'write through' 'write back'; do
        prog "forced_cache_type_$(echo "$type" | tr ' ' _)" sh -c "echo '$type' >$disk/cache_type"
    done
}

phase_forced() {
    p=forced
    rebind || return
    system
    # The kernel asks the disk before it lets this one go.
    prog forced_hdparm_trim hdparm --please-destroy-my-drive --trim-sector-ranges 8:8 "/dev/$DISK"
    forced_commands
}

before=$(first_mib)
for phase in $(words "$(word phases raw,tools,system,forced)"); do
    echo "PHASE $phase ms=$(now)"
    "phase_$phase"
    kernel_said
done
after=$(first_mib)
case $before/$after in
*unreadable*) verdict=UNREADABLE ;;
"$before/$before") verdict=UNCHANGED ;;
*) verdict=CHANGED ;;
esac
echo "$verdict mib=$mib before=$before after=$after"
