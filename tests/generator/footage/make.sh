#!/bin/sh
# Regenerates the committed footage. Needs FFmpeg with libx264, libx265 and drawtext, and the DejaVu Sans Mono font.
# The streams are committed, so nobody has to run this; see README.md for what is in them.
set -eu
cd "$(dirname "$0")"

# lum CAMERA BACKGROUND: luma expression. Rows 0-15 carry 1010, camera (8 bits), check (4 bits);
# rows 16-31 carry the frame number (16 bits); 16 blocks of 16 pixels each, white = 1, most significant bit first.
lum() {
    check="mod(floor($1/16)+mod($1\\,16)+floor(N/4096)+mod(floor(N/256)\\,16)+mod(floor(N/16)\\,16)+mod(N\\,16)\\,16)"
    value="if(lt(Y\\,16)\\,40960+$1*16+$check\\,N)"
    bit="mod(floor($value/pow(2\\,15-floor(X/16)))\\,2)"
    printf '%s' "if(lt(X\\,256)*lt(Y\\,32)\\,16+219*$bit\\,$2)"
}

# waves CAMERA NOISE: moving stripes of a period that differs by camera, and noise that changes with every frame.
waves() {
    printf '%s' "clip(120+45*sin((X+N*(2+$1))/(11+3*$1))*cos((Y-2*N)/(9+2*$1))+$2*(random(1)-0.5)\\,20\\,230)"
}

# still CAMERA NOISE: the same, but the picture stands still except for a moving bar.
still() {
    printf '%s' "clip(120+$2*(mod(X*X*7+Y*Y*13+X*Y*11\\,97)/97-0.5)+if(lt(mod(X-8*N\\,640)\\,48)\\,40\\,0)\\,20\\,230)"
}

# source CAMERA SIZE FRAMES LUMA
source_of() {
    printf '%s' "color=c=gray:s=$2:r=25,format=yuv420p,geq=lum='$4':cb='110+8*$1':cr='150-9*$1',"
    printf '%s' "drawtext=font='DejaVu Sans Mono':fontsize=28:fontcolor=white:borderw=2:x=12:y=h-44:"
    printf '%s' "text='CAM $1  %{eif\\:n\\:d\\:5}',trim=end_frame=$3"
}

FF="ffmpeg -hide_banner -loglevel error -y -threads 1 -filter_threads 1 -flags +bitexact -fflags +bitexact -f lavfi -i"
X264="keyint=25:min-keyint=25:scenecut=0:bframes=0:open-gop=0:threads=1:slices=1:repeat-headers=1"
X265="keyint=25:min-keyint=25:scenecut=0:bframes=0:open-gop=0:pools=none:frame-threads=1:repeat-headers=1:info=0:log-level=error"

h264() { # FILE CAMERA SIZE FRAMES LUMA QP KEYINT
    $FF "$(source_of "$2" "$3" "$4" "$5")" -c:v libx264 -preset medium -profile:v main -qp "$6" \
        -x264-params "$X264:keyint=$7:min-keyint=$7" -bsf:v filter_units=remove_types=6 -f h264 "$1"
}
smart() { # FILE CAMERA SIZE FRAMES LUMA QP KEY-FRAME-TIMES
    $FF "$(source_of "$2" "$3" "$4" "$5")" -c:v libx264 -preset medium -profile:v main -qp "$6" -forced-idr 1 -force_key_frames "$7" \
        -x264-params "$X264:keyint=1000:min-keyint=1" -bsf:v filter_units=remove_types=6 -f h264 "$1"
}
h265() { # FILE CAMERA SIZE FRAMES LUMA QP
    $FF "$(source_of "$2" "$3" "$4" "$5")" -c:v libx265 -preset medium -qp "$6" -x265-params "$X265" -f hevc "$1"
}

for camera in 1 2 3 4; do
    h264 cam$camera.h264 $camera 352x288 200 "$(lum $camera "$(waves $camera 14)")" 27 25
done
for camera in 5 6; do
    h265 cam$camera.h265 $camera 352x288 150 "$(lum $camera "$(waves $camera 14)")" 29
done
h264 cam7-640x360.h264 7 640x360 50 "$(lum 7 "$(waves 7 14)")" 29 25
h264 cam8-large.h264 8 640x480 50 "$(lum 8 "$(still 8 120)")" 28 25
$FF "$(source_of 9 352x288 6 "$(lum 9 "$(waves 9 10)")")" -c:v mjpeg -q:v 6 -pix_fmt yuvj420p -f mjpeg cam9.mjpeg
$FF "$(source_of 10 352x288 48 "$(lum 10 "$(waves 10 10)")")" -c:v mpeg4 -q:v 12 -g 12 -bf 0 -f m4v cam10.m4v
ffmpeg -hide_banner -loglevel error -y -flags +bitexact -fflags +bitexact -f lavfi \
    -i "sine=frequency=440:sample_rate=16000:duration=8" -ac 1 -c:a aac -b:a 24k -f adts tone-16k.aac
smart cam11-smart.h264 11 352x288 400 "$(lum 11 "$(still 11 60)")" 27 0,1.6,7.6,9.2
h264 cam12-huge.h264 12 1280x720 20 "$(lum 12 "$(still 12 120)")" 40 10
