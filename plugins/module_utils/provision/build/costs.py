"""What the steps of a build of MRtrix3 3.0.8 cost."""

from __future__ import annotations

# Each line has a folder, then its files and the CPU seconds that each took: g++ 12.2 for x86-64-v3, the headers
# precompiled. Files that are not listed count as the median of their kind.
COSTS = """
cmd 5tt2vis 5.9 5ttcheck 6.8 amp2response 25.1 amp2sh 43.6 dirflip 4.7 dirgen 5.4 dirmerge 4.5 dirorder 13.9
cmd dwi2fod 44.4 dwi2mask 29.2 dwi2tensor 19.7 fixel2voxel 19.9 fixelconvert 15.5 fixelcrop 16.2 fixelfilter 16.6
cmd label2mesh 10.7 labelstats 9.9 maskdump 6.8 mesh2voxel 4.7 meshfilter 2.7 mrcat 29.0 mrcheckerboardmask 5.0
cmd mrconvert 53.4 mrdegibbs 13.2 mrmath 64.7 mrmetric 92.6 mrthreshold 28.6 sh2amp 16.9 sh2power 6.8 sh2response 24.8
cmd shbasis 19.0 shconv 12.1 tckconvert 23.1 tckglobal 14.8 tckresample 8.7 tcksift2 17.3 tsfinfo 6.8 tsfmult 6.2
cmd tsfvalidate 6.2 warpconvert 18.4 warpinvert 11.0
core app 5.2 axes 1.6 datatype 1.8 exception 1.2 header 13.4 mrtrix 1.4 progressbar 1.2 signal_handler 1.6 stats 1.6
core stride 2.9 thread 2.0 version 1.2
core/adapter reslice 1.0
core/algo histogram 3.7
core/dwi gradient 13.2 shells 8.9
core/file config 2.0 json_utils 11.4 key_value 1.2 mgh 1.2 mmap 2.4 name_parser 4.6 nifti_utils 7.4 ofstream 1.6 png 2.0
core/file tiff 1.4
core/file/dicom dict 3.1 element 3.8 image 6.7 mapper 5.3 patient 1.8 quick_scan 2.5 select_cmdline 2.6 series 1.7
core/file/dicom study 2.1 tree 2.9
core/filter connected_components 5.1
core/formats dicom 3.8 list 1.1 mgh 5.2 mgz 7.1 mri 3.5 mrtrix 3.2 mrtrix_gz 3.5 mrtrix_sparse_legacy 3.9
core/formats mrtrix_utils 2.7 nifti1 1.8 nifti1_gz 1.0 nifti2 1.0 nifti2_gz 1.5 par 11.2 pipe 1.7 png 1.6 ram 1.0
core/formats tiff 1.6 xds 2.3
core/image_io base 1.6 default 2.2 fetch_store 4.8 gz 2.1 mosaic 1.7 null 1.8 pipe 1.2 png 1.6 ram 1.2 scratch 1.3
core/image_io sparse 2.3 tiff 1.1 variable_scaling 2.1
core/math SH 1.7 average_space 138.8 bessel 0.9 betainc 1.3 erfinv 1.2 zstatistic 3.4
core/math/stats fwe 1.4 glm 101.4 import 1.2 shuffle 4.7
core/metadata bids 1.5 phase_encoding 6.1 slice_encoding 2.9
core/misc bitset 1.2
src exec_version 1.7
src/connectome connectome 5.5 lut 2.4
src/dwi fmls 23.6
src/dwi/directions file 3.1 mask 1.1 predefined 2.2 set 3.9
src/dwi/sdeconv csd 13.8 msmt_csd 16.4
src/dwi/tractography file_base 3.3 properties 4.5 rng 1.8 roi 8.4
src/dwi/tractography/ACT act 4.4
src/dwi/tractography/GT externalenergy 27.9 gt 1.0 internalenergy 4.0 mhsampler 3.7 particle 1.4 particlegrid 4.5
src/dwi/tractography/SIFT proc_mask 9.7 sift 1.1 track_contribution 1.2 track_index_range 1.0
src/dwi/tractography/SIFT2 coeff_optimiser 4.7 fixel_updater 4.2 line_search 5.6 reg_calculator 4.1 streamline_stats 0.9
src/dwi/tractography/SIFT2 tckfactor 19.2
src/dwi/tractography/mapping fixel_td_map 2.1 mapper 12.5 mapper_plugins 9.3 mapping 9.1 twi_stats 1.3 voxel 2.6
src/dwi/tractography/resampling arc 4.2 downsampler 1.3 endpoints 1.1 fixed_num_points 1.5 fixed_step_size 1.4
src/dwi/tractography/resampling resampling 2.3 upsampler 3.5
src/dwi/tractography/seeding list 2.6
src/fixel index_remapper 1.1 matrix 25.2
src/fixel/filter connect 10.3 smooth 13.2
src/registration multi_contrast 8.8
src/registration/transform convergence_check 2.6 rigid 121.7
src/stats cfe 8.4
src/surface freesurfer 2.6 mesh 4.8 mesh_multi 2.8 polygon 0.9 scalar 2.8
src/surface/algo mesh2image 15.1
src/surface/filter base 3.1 smooth 2.5 vertex_transform 5.9
"""

# All programs take about as long to link.
LINK = 0.1
